package corpora

import "strings"

// markupFamilies are the languages of tags and of typeset text.
func markupFamilies() []family {
	return []family{
		{"xml", []Seed{
			valid("document", `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<!-- comment --><root a="1" b='two'><item id="x">text &amp; more</item><item/><![CDATA[ raw <> ]]><?pi data?></root>`+"\n"),
			valid("namespaces", `<a:root xmlns:a="urn:a" xmlns="urn:b"><child a:k="v">&#233;&#x1F600;</child></a:root>`),
			odd("dtd", `<?xml version="1.0"?><!DOCTYPE r [<!ELEMENT r (#PCDATA|s)*><!ELEMENT s EMPTY><!ATTLIST s k ID #IMPLIED><!ENTITY e "text">]><r>&e;<s k="a"/></r>`),
			odd("external-entity", `<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/hostname">]><r>&e;</r>`),
			odd("latin1", "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><r>\xe9</r>"),
			odd("deep", strings.Repeat("<a>", 250)+strings.Repeat("</a>", 250)),
			odd("include", `<r xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="other.xml" parse="text"><xi:fallback/></xi:include></r>`),
			broken("mismatch", `<a><b></a></b>`),
			broken("truncated", `<a k="v`),
		}},
		{"xsd", []Seed{
			valid("schema", `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="root"><xs:complexType><xs:sequence><xs:element name="item" type="xs:int" maxOccurs="unbounded"/></xs:sequence></xs:complexType></xs:element></xs:schema>`),
			odd("import", `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:import schemaLocation="nosuch.xsd"/><xs:simpleType name="s"><xs:restriction base="xs:string"><xs:pattern value="(a|b)*"/></xs:restriction></xs:simpleType></xs:schema>`),
			broken("truncated", `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name=`),
		}},
		{"xslt", []Seed{
			valid("identity", `<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template match="@*|node()"><xsl:copy><xsl:apply-templates select="@*|node()"/></xsl:copy></xsl:template></xsl:stylesheet>`),
			odd("document", `<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:import href="nosuch.xsl"/><xsl:template match="/"><xsl:value-of select="document('')//@*"/></xsl:template></xsl:stylesheet>`),
			broken("mismatch", `<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template></xsl:stylesheet>`),
		}},
		{"html", []Seed{
			valid("page", "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Test</title><style>p{color:red}</style></head>\n<body><h1>Hello</h1><p class=x>a &lt; b<br><a href=\"https://example.org/?a=1&amp;b=2\">link</a><table><tr><td>1<td>2</table><script>let x = 1 < 2;</script></body></html>\n"),
			valid("form", `<form action="/login" method=post><input name=user><input type=password name=p><select><option selected>1</select></form>`),
			broken("soup", `<p><b>bold<i>both</b>italic</i><table><p>in table<!-- never closed`),
			odd("nested", strings.Repeat("<div><table>", 100)+"<script>if (a<b) document.write('</p>')</script>&amp&notit;&#x110000;"),
		}},
		{"svg", []Seed{
			valid("shapes", `<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8" viewBox="0 0 8 8"><rect width="8" height="8" fill="#fff"/><circle cx="4" cy="4" r="3" fill="red"/><path d="M0 0L8 8M0 8C2 6 6 2 8 0Z" stroke="#000"/><text x="1" y="7" font-size="2">hi</text></svg>`),
			odd("path", `<svg xmlns="http://www.w3.org/2000/svg" width="-1" height="1e99"><path d="M0 0L Q1"/></svg>`),
			broken("truncated", `<svg xmlns="http://www.w3.org/2000/svg"><path d="M0`),
		}},
		{"plist", []Seed{
			valid("dict", `<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd"><plist version="1.0"><dict><key>a</key><integer>1</integer><key>b</key><array><true/><data>AAE=</data></array></dict></plist>`),
			odd("binary", "bplist00\xd0\x08\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09"),
			broken("no-value", `<?xml version="1.0"?><plist version="1.0"><dict><key>a</key></dict>`),
		}},
		{"css", []Seed{
			valid("rules", "@import url(\"other.css\");\n@media (max-width: 9em) { a:hover > b[x=\"y\"]::before { content: \"\\201C\"; margin: 0 auto !important } }\n"),
			broken("braces", "a { b: c; { d\n"),
			odd("escapes", "\ufeff@charset \"utf-8\";@font-face{src:url(data:font/woff2;base64,AA==)}\\61 \\{ {--x:{;}}/**/:is(a,:not(b)):nth-child(2n+1){width:calc(1px + (2em*3))}"),
		}},
		{"markdown", []Seed{
			valid("document", "# Title\n\nSome *text* with `code`, a [link](https://example.org) and ![image](a.png).\n\n- one\n- two\n  1. nested\n\n> quote\n\n```go\nfunc main() {}\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n<div>html</div>\n"),
			odd("nested", strings.Repeat("> ", 200)+strings.Repeat("*_[", 100)+"\n"),
		}},
		{"roff", []Seed{
			valid("manual", ".TH TEST 1 2026-01-02\n.SH NAME\ntest \\- do nothing\n.SH OPTIONS\n.TP\n.B \\-x\nBe \\fIexact\\fR.\n"),
			broken("macro", ".TH\n.so nosuch.1\n.de XX\nnever closed\n"),
			odd("conditions", ".if n .ds x y\n.ie \\n(.g \\{\\\n.tm \\*x\n.\\}\n.el .ab\n.while 0 \\{\\}\n\\fB\\s+9\\(bu\\[u00e9]\\h'-1i'\n"),
		}},
		{"latex", []Seed{
			valid("article", "\\documentclass{article}\n\\begin{document}\nHello $x^2 + \\frac{1}{2}$.\n\\end{document}\n"),
			broken("open", "\\documentclass{article}\n\\begin{document}\n{$x^\n"),
			odd("catcodes", "\\catcode`\\@=11 \\def\\a#1{\\ifx#1\\relax\\else\\expandafter\\a\\fi}\\input nosuch \\bye\n"),
		}},
		{"texinfo", []Seed{
			valid("manual", "\\input texinfo\n@settitle Test\n@node Top\n@top Test\nHello @code{world}.\n@bye\n"),
		}},
		{"dot", []Seed{
			valid("graph", "digraph g {\n  a -> b [label=\"x\"];\n  subgraph cluster_0 { b; c }\n  b -> {c d} [style=dashed]\n}\n"),
			broken("edge", "digraph { a -> ; -- }\n"),
			odd("strict", "strict graph \"\" { node [shape=record,label=\"{<a>x|y}\"]; \"\\\"\":a:n -- 1.5 -- -.5; {} ; edge [weight=1e9] }\n"),
		}},
	}
}
