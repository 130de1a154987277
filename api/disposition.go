package api

import (
	"mime/multipart"
	"strings"
)

// partName is the name of a form's part. Small clients write by hand what goes on in the Content-Disposition, such as a
// filename with spaces and without quotes, which package mime refuses as a whole; the name is taken where it is clear.
func partName(part *multipart.Part) string {
	if name := part.FormName(); name != "" {
		return name
	}
	return dispositionName(part.Header.Get("Content-Disposition"))
}

// dispositionName finds the parameter name of a form-data disposition, in quotes or without; "" when there is none, or
// several that differ.
func dispositionName(text string) string {
	kind, rest, _ := strings.Cut(text, ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "form-data") {
		return ""
	}
	found := ""
	for rest != "" {
		var key, value string
		key, value, rest = nextParameter(rest)
		if !strings.EqualFold(key, "name") || value == "" {
			continue
		}
		if found != "" && found != value {
			return ""
		}
		found = value
	}
	return found
}

// nextParameter splits a list of parameters after its first. A value that begins with a quotation mark goes to the next
// one, any other to the next semicolon.
func nextParameter(text string) (key, value, rest string) {
	end := strings.IndexAny(text, "=;")
	if end < 0 {
		return strings.TrimSpace(text), "", ""
	}
	key, rest = strings.TrimSpace(text[:end]), text[end+1:]
	if text[end] == ';' {
		return key, "", rest
	}
	rest = strings.TrimLeft(rest, " \t")
	if quoted, after, ok := cutQuoted(rest); ok {
		_, rest, _ = strings.Cut(after, ";")
		return key, quoted, rest
	}
	value, rest, _ = strings.Cut(rest, ";")
	return key, strings.TrimSpace(value), rest
}

// cutQuoted takes a value in quotation marks off the beginning of a text. A backslash before a quotation mark or another
// backslash stands for what follows; elsewhere it is one, as in the paths of Windows.
func cutQuoted(text string) (value, after string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		return "", "", false
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:], true
		case c == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}
