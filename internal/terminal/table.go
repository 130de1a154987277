package terminal

import (
	"io"
	"strings"
)

// Cell is a text of a table.
type Cell struct {
	Text string
	Style
}

// Table is a table whose columns are as wide as their widest cells. The header is bold.
type Table struct {
	header []string
	rows   [][]Cell
}

// NewTable returns a table with the names of its columns.
func NewTable(header ...string) *Table { return &Table{header: header} }

// Row adds a row of plain cells.
func (t *Table) Row(cells ...string) {
	row := make([]Cell, len(cells))
	for i, text := range cells {
		row[i].Text = text
	}
	t.rows = append(t.rows, row)
}

// Cells adds a row.
func (t *Table) Cells(cells ...Cell) { t.rows = append(t.rows, cells) }

// Write writes the table, with colors if w takes them.
func (t *Table) Write(w io.Writer) error {
	head := make([]Cell, len(t.header))
	for i, text := range t.header {
		head[i] = Cell{text, Bold}
	}
	rows := append([][]Cell{head}, t.rows...)
	var widths []int
	for _, row := range rows {
		for i := range row {
			row[i].Text = Clean(row[i].Text)
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if i < len(row)-1 { // the last needs no padding, and may be a text instead of several cells
				widths[i] = max(widths[i], Columns(row[i].Text))
			}
		}
	}
	var b strings.Builder
	paint := PaintOf(w)
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			padding := ""
			if i < len(row)-1 {
				padding = strings.Repeat(" ", max(0, widths[i]-Columns(cell.Text))+2)
			}
			line += paint.In(cell.Style, cell.Text) + padding
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
