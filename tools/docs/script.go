package docs

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// prelude is the begin of each script. Servers are process groups, of which there is one for each address.
const prelude = `set -euo pipefail
set -m
declare -A servers
stop() {
  [[ -n ${servers[$1]:-} ]] || return 0
  kill -TERM -- "-${servers[$1]}" 2>/dev/null || true
  wait "${servers[$1]}" 2>/dev/null || true
  unset "servers[$1]"
}
finish() { for address in "${!servers[@]}"; do stop "$address"; done; }
trap finish EXIT
await() { # ADDRESS URL
  for _ in $(seq 1200); do
    if curl --silent --insecure --fail --output /dev/null --max-time 5 "$2"; then return; fi
    kill -0 "${servers[$1]}" 2>/dev/null || break
    sleep 0.1
  done
  echo "$2 does not answer" >&2
  return 1
}
`

// script returns a script that runs the blocks of a page that are to be run, in order, in one shell. What block i prints is in out/i, of
// the folder OUT; at holds the number of the block that was begun last.
func script(page []block) string {
	var b strings.Builder
	b.WriteString(prelude)
	for i, block := range page {
		kind, argument, _ := strings.Cut(block.marker, ": ")
		if kind != "run" || !block.isCommands() {
			continue
		}
		fmt.Fprintf(&b, "echo %d >\"$OUT/at\"\nexec >\"$OUT/%d\" 2>\"$OUT/%d.err\"\n", i, i, i)
		if target, ok := strings.CutPrefix(argument, "server "); ok {
			address := target
			if u, err := url.Parse(target); err == nil {
				address = u.Host
			}
			fmt.Fprintf(&b, "stop %[1]q\n(\n%[2]s) &\nservers[%[1]q]=$!\nawait %[1]q %[3]q\n", address, block.text, target)
			continue
		}
		b.WriteString(withFlags(block.text, argument))
	}
	return b.String()
}

// withFlags adds flags to the lines that begin with their program and a flag. Argument is the program and the flags; empty: none.
func withFlags(text, argument string) string {
	program, flags, ok := strings.Cut(argument, " ")
	if !ok {
		return text
	}
	return regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(program)+` -`).ReplaceAllLiteralString(text, program+" "+flags+" -")
}

var (
	number = regexp.MustCompile(`-?\b\d+(\.\d+)?(e[-+]?\d+)?\b`)
	blank  = regexp.MustCompile(`\s+`)
)

// sameAnswer reports whether the printed text is what a page shows: apart from numbers and white space, and with any text for …
func sameAnswer(shown, printed string) bool {
	plain := func(text string) string { return blank.ReplaceAllString(number.ReplaceAllString(text, "0"), "") }
	var pattern strings.Builder
	for i, part := range strings.Split(plain(shown), "…") {
		if i > 0 {
			pattern.WriteString(".*?")
		}
		pattern.WriteString(regexp.QuoteMeta(part))
	}
	return regexp.MustCompile("(?s)^" + pattern.String() + "$").MatchString(plain(printed))
}
