# Finds the names that fit the word before the cursor; false when there is none.
function __fish_wireloom_find_names
    set -l words (commandline -opc)
    set -e words[1]
    set -l current (commandline -ct)
    set -g __fish_wireloom_names (command wireloom complete -- $words "$current" 2>/dev/null)
    set -q __fish_wireloom_names[1]
end

complete -c wireloom -n __fish_wireloom_find_names -k -f -a '$__fish_wireloom_names'
