package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fovea/internal/testenv"
)

// bashCompletion is the script of the package bash-completion, which completions for bash need.
const bashCompletion = "/usr/share/bash-completion/bash_completion"

// shell is one in its own folder, in which serve is on the path.
type shell struct {
	t   *testing.T
	dir string
	env []string
}

// newShell skips the test if the shell is not installed.
func newShell(t *testing.T, name, repo string) *shell {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	s := &shell{t: t, dir: t.TempDir()}
	for _, dir := range []string{"bin", "home", "photos"} {
		if err := os.Mkdir(filepath.Join(s.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	lay(t, s.dir, map[string]string{"phone.jpg": "x", "photos/1.jpg": "x"})
	if err := os.Symlink(program, filepath.Join(s.dir, "bin", "serve")); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(s.dir, "home")
	s.env = append(command(t, repo).Env, "FOVEA_REPOSITORY_DIR="+repo, "PATH="+filepath.Join(s.dir, "bin")+":"+os.Getenv("PATH"),
		"HOME="+home, "ZDOTDIR="+home, "XDG_CONFIG_HOME="+home, "XDG_DATA_HOME="+home, "TERM=xterm")
	return s
}

func (s *shell) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	return cmd
}

// output returns what a shell prints, by lines, without descriptions and the spaces at the ends.
func (s *shell) output(name string, args ...string) (list []string) {
	s.t.Helper()
	out, notes, status := finished(s.t, s.command(name, args...))
	if status != 0 || notes != "" {
		s.t.Fatalf("%q: %d %s", args, status, notes)
	}
	return candidates(out)
}

func candidates(text string) (list []string) {
	for line := range strings.Lines(text) {
		word, _, _ := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		list = append(list, strings.TrimRight(word, " "))
	}
	return list
}

// bash calls the function that completes serve as bash does when Tab is pressed (Programmable Completion in its manual).
func (s *shell) bash(line string) []string {
	words := strings.Split(line, " ")
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = "'" + word + "'"
	}
	return s.output("bash", "--norc", "-c", fmt.Sprintf(`source %s && source <(serve completion bash) || exit 1
function=$(complete -p serve) function=${function##* -F } COMP_WORDS=(%s) COMP_CWORD=%d COMP_LINE='%s' COMP_POINT=%d COMP_TYPE=63 COMP_KEY=9
compopt() { :; } # bash allows it only while it completes
${function%% *} serve "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
((${#COMPREPLY[@]} == 0)) || printf '%%s\n' "${COMPREPLY[@]}"`, bashCompletion, strings.Join(quoted, " "), len(words)-1, line, len(line)))
}

func (s *shell) fish(line string) []string {
	return s.output("fish", "--no-config", "-c", "serve completion fish | source; complete -C '"+line+"'")
}

// zshSettings make Control-X write the candidates of the line to a file, and empty the line.
const zshSettings = `autoload -Uz compinit && compinit -D -u && source <(serve completion zsh)
compadd() {
  local -a found
  [[ " $* " == *" -"[OAD]" "* ]] || { builtin compadd -O found "$@"; print -rl -- $found >>"$OUT" }
  builtin compadd "$@"
}
report() { zle complete-word; print done >>"$OUT"; zle kill-whole-line }
zle -N report
bindkey '^X' report
print done >>"$OUT"
`

// zsh types lines into a zsh on a terminal, since zsh completes nowhere else, and returns the candidates of each.
func (s *shell) zsh(lines []string) (all [][]string) {
	s.t.Helper()
	settings, out := filepath.Join(s.dir, "settings.zsh"), filepath.Join(s.dir, "home", "candidates")
	write(s.t, settings, []byte(zshSettings))
	end, tty := testenv.Terminal(s.t, 200)
	cmd := s.command("zsh", "-f", "-i")
	cmd.Env = append(cmd.Env, "OUT="+out)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	_ = tty.Close()
	var screen testenv.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		buffer := make([]byte, 4096)
		for {
			n, err := end.Read(buffer)
			_, _ = screen.Write(buffer[:n])
			if err != nil {
				return
			}
		}
	}()
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-read
	})
	send := func(text string) []string {
		_ = os.Remove(out)
		if _, err := end.WriteString(text); err != nil {
			s.t.Fatal(err)
		}
		deadline := time.Now().Add(time.Minute)
		for {
			found, _ := os.ReadFile(out) // it is not there at first
			if before, isDone := strings.CutSuffix(string(found), "done\n"); isDone {
				return candidates(before)
			}
			if time.Now().After(deadline) {
				s.t.Fatalf("zsh does not complete %q: %q; the screen: %q", text, found, screen.String())
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	send("source " + settings + "\n")
	for _, line := range lines {
		all = append(all, send(line+"\x18"))
	}
	return all
}

// TestCompletionsInShells has the shells complete lines as if Tab was pressed.
func TestCompletionsInShells(t *testing.T) {
	repo := colorRepository(t, "", colorClassifier(0, 1, 2))
	cases := []struct{ line, want, not string }{
		{"serve pre", "predict", "probe"},
		{"serve models ", "list check add pull verify optimize", "predict"},
		{"serve predict ", "colors", "phone.jpg"},
		{"serve models check col", "colors", "cats"},
		{"serve predict colors ph", "phone.jpg photos", "colors"},
		{"serve predict colors --enc", "--encoding", "--json"},
		{"serve predict colors --encoding p", "png polygon", "rle"},
		{"serve --log.format ", "auto json text", "phone.jpg"},
		{"serve models optimize colors --to ", "int8 fp16", "phone.jpg"},
		{"serve completion ", "bash zsh fish", "phone.jpg"},
	}
	var lines []string
	for _, c := range cases {
		lines = append(lines, c.line)
	}
	each := func(complete func(string) []string) func([]string) [][]string {
		return func(lines []string) (all [][]string) {
			for _, line := range lines {
				all = append(all, complete(line))
			}
			return all
		}
	}
	for _, name := range []string{"bash", "fish", "zsh"} {
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat(bashCompletion); err != nil && name == "bash" {
				t.Skip("the package bash-completion is not installed")
			}
			s := newShell(t, name, repo)
			complete := map[string]func([]string) [][]string{"bash": each(s.bash), "fish": each(s.fish), "zsh": s.zsh}[name]
			for i, found := range complete(lines) {
				for j := range found {
					found[j] = strings.TrimSuffix(found[j], "/")
				}
				for want := range strings.FieldsSeq(cases[i].want) {
					isFile := strings.HasPrefix(want, "ph") && name == "bash" // which it completes itself, if the function finds nothing
					if !slices.Contains(found, want) && !isFile {
						t.Errorf("%q: no %s in %q", cases[i].line, want, found)
					}
				}
				if slices.Contains(found, cases[i].not) {
					t.Errorf("%q: %q", cases[i].line, found)
				}
			}
		})
	}
}
