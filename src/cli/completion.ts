// Completion: the scripts of three shells, which ask banger itself, and the live names it proposes.
import { EXIT } from "../spec/errors.ts";
import type { PositionalData } from "./command-data.ts";
import { printJson } from "./run-method.ts";
import type { Invocation, Session } from "./session.ts";

/** A person who pressed Tab waits no longer than this for names. */
const PATIENCE_MS = 500;

// Each script hands over the words up to the cursor, the last one unfinished, and gets `word<tab>what it is` lines back.

const bash = `# bash completion of banger: source <(banger completion bash)
_banger() {
  local line
  COMPREPLY=()
  while IFS=$'\\t' read -r line _; do
    [[ -n $line ]] && COMPREPLY+=("$line")
  done < <(banger __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  if [[ \${#COMPREPLY[@]} -eq 0 ]]; then compopt -o default; fi
}
complete -F _banger banger
`;

const zsh = `#compdef banger
# zsh completion of banger: source <(banger completion zsh), after compinit
_banger() {
  local -a proposals
  local line word brief
  while IFS= read -r line; do
    word=\${line%%$'\\t'*}
    brief=\${line#*$'\\t'}
    [[ -n $word && $word != -- ]] && proposals+=("\${word//:/\\\\:}:$brief")
  done < <(banger __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( \${#proposals} )); then _describe -t values banger proposals; else _files; fi
}
# As a file of fpath this is the function's own first call; sourced, it is made known.
if [[ $funcstack[1] == _banger ]]; then _banger "$@"; else compdef _banger banger; fi
`;

const fish = `# fish completion of banger: banger completion fish > ~/.config/fish/completions/banger.fish
function __banger_complete
  set -l words (commandline -opc)
  banger __complete $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c banger -f -a '(__banger_complete)'
complete -c banger -n 'test (count (__banger_complete)) -eq 0' -F
`;

const scripts: Readonly<Record<string, string>> = { bash, zsh, fish };

export const runCompletionScript = async (session: Session, invocation: Invocation): Promise<number> => {
  const shell = String(invocation.input.shell);
  const script = scripts[shell] ?? "";
  if (invocation.isJson) printJson(session, { shell, script });
  else session.terminal.out(script);
  return EXIT.ok;
};

/** Names of what there is that begin with `partial`; none where no daemon runs, since Tab must start nothing. */
export const proposeNames = async (
  session: Session,
  names: NonNullable<PositionalData["names"]>,
  partial: string,
): Promise<readonly string[]> => {
  const { client } = session;
  try {
    if (!(await client.peek())) return [];
    const options = { timeoutMs: PATIENCE_MS };
    const found =
      names === "vm"
        ? (await client.call("vm.list", {}, options)).map(({ name }) => name)
        : names === "image"
          ? (await client.call("image.list", {}, options)).flatMap(({ name, aliases }) => [name, ...aliases])
          : (await client.call("config.show", {}, options)).map(({ key }) => key);
    return found.filter((name) => name.startsWith(partial));
  } catch {
    return [];
  }
};
