package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
)

// mutant is one small change of a source file, which a test should detect.
type mutant struct {
	file        string
	line        int
	start, end  int // byte offsets of what is replaced
	replacement string
	description string
}

// apply returns the source with the change.
func (m mutant) apply(source []byte) []byte {
	changed := append([]byte{}, source[:m.start]...)
	return append(append(changed, m.replacement...), source[m.end:]...)
}

// swapped are the operators that replace each other.
var swapped = map[token.Token]token.Token{
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
	token.EQL: token.NEQ, token.NEQ: token.EQL,
	token.LAND: token.LOR, token.LOR: token.LAND, token.ADD: token.SUB, token.SUB: token.ADD,
}

// mutantsOf lists the mutants of a file. Files that use cgo have none.
func mutantsOf(path string) ([]mutant, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, i := range file.Imports {
		if i.Path.Value == `"C"` {
			return nil, nil
		}
	}
	c := &collector{set: set, path: path, source: source}
	ast.Inspect(file, c.visit)
	return c.list, nil
}

// collector gathers the mutants of a file.
type collector struct {
	set    *token.FileSet
	path   string
	source []byte
	list   []mutant
}

func (c *collector) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok == token.CONST || n.Tok == token.VAR // not imports and types
	case *ast.FuncDecl:
		c.returns(n.Type, n.Body)
	case *ast.FuncLit:
		c.returns(n.Type, n.Body)
	case *ast.IfStmt:
		c.add(n.Cond.Pos(), n.Cond.End(), "!("+c.text(n.Cond)+")", "condition negated")
	case *ast.BinaryExpr:
		if to, ok := swapped[n.Op]; ok && !isString(n) {
			c.add(n.OpPos, n.OpPos+token.Pos(len(n.Op.String())), to.String(), fmt.Sprintf("%s → %s", n.Op, to))
		}
	case *ast.BlockStmt:
		c.statements(n.List)
	case *ast.CaseClause:
		c.statements(n.Body)
	case *ast.CommClause:
		c.statements(n.Body)
	case *ast.BasicLit:
		if v, err := strconv.ParseInt(n.Value, 0, 64); err == nil && n.Kind == token.INT {
			c.add(n.Pos(), n.End(), strconv.FormatInt(v+1, 10), fmt.Sprintf("%s → %d", n.Value, v+1))
		}
	case *ast.Ident:
		if to, ok := map[string]string{"true": "false", "false": "true"}[n.Name]; ok {
			c.add(n.Pos(), n.End(), to, n.Name+" → "+to)
		}
	}
	return true
}

// statements removes calls, assignments and increments.
func (c *collector) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt, *ast.IncDecStmt, *ast.DeferStmt, *ast.SendStmt:
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		default:
			continue
		}
		c.add(s.Pos(), s.End(), "", "statement removed")
	}
}

// returns replaces the error that a function returns by nil.
func (c *collector) returns(t *ast.FuncType, body *ast.BlockStmt) {
	if t.Results == nil || body == nil {
		return
	}
	last := t.Results.List[len(t.Results.List)-1]
	if name, ok := last.Type.(*ast.Ident); !ok || name.Name != "error" {
		return
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false // visited by itself
		case *ast.ReturnStmt:
			if len(n.Results) != t.Results.NumFields() {
				return false
			}
			e := n.Results[len(n.Results)-1]
			if c.text(e) != "nil" {
				c.add(e.Pos(), e.End(), "nil", "error → nil")
			}
		}
		return true
	})
}

func (c *collector) add(from, to token.Pos, replacement, description string) {
	c.list = append(c.list, mutant{
		file: c.path, line: c.set.Position(from).Line, start: c.set.Position(from).Offset, end: c.set.Position(to).Offset,
		replacement: replacement, description: description,
	})
}

func (c *collector) text(n ast.Node) string {
	return string(c.source[c.set.Position(n.Pos()).Offset:c.set.Position(n.End()).Offset])
}

// isString reports whether an operand is a string literal: strings cannot be subtracted.
func isString(e *ast.BinaryExpr) bool {
	for _, operand := range []ast.Expr{e.X, e.Y} {
		if lit, ok := operand.(*ast.BasicLit); ok && lit.Kind == token.STRING && e.Op == token.ADD {
			return true
		}
	}
	return false
}
