# Offers the names that fit the word before the cursor, else what _wireloom knows.
_wireloom_or_names() {
    # COMP_WORDS is split at ":" and "=" too: words are what blanks divide.
    local line="${COMP_LINE:0:COMP_POINT}" words=() piece rest last=""
    for piece in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        rest="${line#"${line%%[![:blank:]]*}"}"
        piece="${rest:0:${#piece}}"
        if [[ ${#words[@]} -gt 0 && $rest == "$line" ]]; then
            words[${#words[@]} - 1]+="$piece"
        else
            words+=("$piece")
        fi
        last="$piece"
        line="${rest:${#piece}}"
    done
    # What Readline replaces begins after such a character.
    [[ $last == *[!:=@]* ]] || last=""

    # What the word means so far, and the quotation mark that is open.
    local word="${words[${#words[@]} - 1]}" quote="" meant
    local before="${word:0:${#word}-${#last}}"
    case "$word" in
        [\"\']*)
            quote="${word:0:1}" meant="${word:1}" before=""
            ;;
        *)
            meant="$word"
            ;;
    esac
    if [[ $quote != "'" ]]; then
        IFS='' read -d '' meant < <(printf '%s\0' "$meant") || :
        IFS='' read -d '' before < <(printf '%s\0' "$before") || :
    fi

    local name text i
    COMPREPLY=()
    while IFS='' read -r name; do
        [[ ${name:0:${#meant}} == "$meant" ]] || continue
        text=""
        name="${name:${#before}}"
        for ((i = 0; i < ${#name}; i++)); do
            case "$quote${name:i:1}" in
                "''")
                    text+="'\\''"
                    ;;
                \"[\"\$\`\\] | [][\ \"\'\$\`\\\&\|\;\<\>\(\)\*\?\{\}\!\#~^=:@])
                    text+="\\${name:i:1}"
                    ;;
                *)
                    text+="${name:i:1}"
                    ;;
            esac
        done
        # Readline closes the quotation unless what it finds there looks like the end of one.
        [[ -z $quote || $name != *"$quote" ]] || text+="$quote"
        COMPREPLY+=("$text")
    done < <(command wireloom complete -- "${words[@]:1:${#words[@]}-2}" "$meant" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -gt 0 ]] || _wireloom "$@"
}

complete -F _wireloom_or_names -o bashdefault -o default wireloom
