# fish completion of gfxbridge: gfxbridge itself knows the candidates
function __gfxbridge_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in (gfxbridge complete -- $words[2..-1] 2>/dev/null)
        switch $line
            case :file
                __fish_complete_path (commandline -ct)
            case :dir
                __fish_complete_directories (commandline -ct)
            case '*'
                echo $line
        end
    end
end
complete -c gfxbridge -f -a '(__gfxbridge_complete)'
