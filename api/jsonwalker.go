package api

import (
	"bytes"
	"encoding/json"
)

// jsonWalker walks along JSON that is known to be valid, so it looks for no mistakes and copies nothing but strings
// with escapes. Its functions may be called only where what they take can come next.
type jsonWalker struct{ rest []byte }

// next is the first byte of the next token, which tells what it is.
func (w *jsonWalker) next() byte {
	w.rest = bytes.TrimLeft(w.rest, " \t\r\n")
	return w.rest[0]
}

// each takes an array or object that ends in end, by calling item at each of its items.
func (w *jsonWalker) each(end byte, item func() error) error {
	w.rest = w.rest[1:]
	for w.next() != end {
		if err := item(); err != nil {
			return err
		}
		if w.next() == ',' {
			w.rest = w.rest[1:]
		}
	}
	w.rest = w.rest[1:]
	return nil
}

// colon takes what is between a field's name and its value.
func (w *jsonWalker) colon() {
	w.next()
	w.rest = w.rest[1:]
}

// text takes a string. The bytes are those of the document where they can be.
func (w *jsonWalker) text() []byte {
	w.next()
	end, escapes := 1, false
	for w.rest[end] != '"' {
		if w.rest[end] == '\\' {
			escapes = true
			end++ // what comes next may be a quotation mark
		}
		end++
	}
	literal := w.rest[:end+1]
	w.rest = w.rest[end+1:]
	if !escapes {
		return literal[1:end]
	}
	var text string
	if err := json.Unmarshal(literal, &text); err != nil {
		panic(err) // the document is valid, and so is a part of it
	}
	return []byte(text)
}

// number takes a number, as it is written. Of another value it takes the beginning, which is no number.
func (w *jsonWalker) number() string {
	w.next()
	literal := w.rest[:bytes.IndexAny(w.rest, ",}] \t\r\n")]
	w.rest = w.rest[len(literal):]
	return string(literal)
}
