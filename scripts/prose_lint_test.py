"""Tests scripts/prose-lint."""
import importlib.machinery
import importlib.util
import os
import re
import tempfile
import unittest

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "prose-lint")
loader = importlib.machinery.SourceFileLoader("prose_lint", PATH)
prose_lint = importlib.util.module_from_spec(importlib.util.spec_from_loader("prose_lint", loader))
loader.exec_module(prose_lint)

PATTERNS = [("anew", prose_lint.expression("anew"), "again"), ("for ever", prose_lint.expression("for ever"), "forever")]


class Words(unittest.TestCase):
    def lines(self, name, text, exceptions=()):
        return [line for line, _ in prose_lint.check_words(name, text, PATTERNS, set(exceptions))]

    def test_go(self):
        self.assertEqual(self.lines("a.go", "package a\n\n// It starts anew.\n"), [3])
        self.assertEqual(self.lines("a.go", 'var s = "starts anew"\n'), [1])
        self.assertEqual(self.lines("a.go", "anew := 'x'\nf(anew, `anew`, \"anew\")\n"), [])  # identifiers, keys
        self.assertEqual(self.lines("a.go", "// It may hang for\n// ever.\n"), [1])  # a phrase over two lines
        self.assertEqual(self.lines("a.go", 's := "// no comment"; t := "hangs For Ever"\n'), [1])

    def test_text(self):
        self.assertEqual(self.lines("a.md", "Code `anew`, text anew.\n\nrenewanew anew-\n"), [1])
        self.assertEqual(self.lines("a.yaml", "# one\nkey: anew\n"), [2])

    def test_exceptions(self):
        self.assertEqual(self.lines("a.md", "anew, for ever\n", [("a.md", "anew")]), [1])
        self.assertEqual(self.lines("a.md", "anew\n", [("b.md", "anew")]), [1])

    def test_list(self):
        patterns, _ = prose_lint.words()
        self.assertGreater(len(patterns), 20)
        for pattern, expression, suggestion in patterns:
            self.assertTrue(suggestion, pattern)
            self.assertIsNone(expression.search("images requests replicas"), pattern)


class Links(unittest.TestCase):
    def test_links(self):
        with tempfile.TemporaryDirectory() as root:
            self.addCleanup(setattr, prose_lint, "ROOT", prose_lint.ROOT)
            prose_lint.ROOT = root
            os.mkdir(os.path.join(root, "docs"))
            with open(os.path.join(root, "docs", "a.md"), "w", encoding="utf-8") as file:
                file.write("# A title: `x` & more\n```\n# no heading\n```\n# Twice\n# Twice\n")
            for text, problems in {
                "[a](docs/a.md)": 0,
                "[a](docs/b.md)": 1,
                "[a](docs/a.md#a-title-x--more)": 0,
                "[a](docs/a.md#no-heading)": 1,
                "[a](docs/a.md#twice-1)": 0,
                "[a](docs/a.md#twice-2)": 1,
                "[a](https://example.org/b.md)": 0,
                "![a](b.png)": 1,
                "```\n[a](b.md)\n```": 0,
                "`docs/a.md`": 0,
                "`docs/b.md`": 1,
                "`other/b.md`": 0,
            }.items():
                self.assertEqual(len(list(prose_lint.check_links("README.md", text))), problems, text)


if __name__ == "__main__":
    unittest.main()
