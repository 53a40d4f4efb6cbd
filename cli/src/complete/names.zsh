    local -a names
    names=(${(f)"$(command wireloom complete -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)"})
    if (( $#names )) && compadd -a names; then
        return 0
    fi

