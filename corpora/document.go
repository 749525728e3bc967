package corpora

import (
	"fmt"
	"strings"
)

// documentFamilies are pages and office files.
func documentFamilies() []family {
	pdf := encodePDF()
	return []family{
		{"pdf", []Seed{
			valid("page", pdf),
			broken("xref", strings.Replace(string(pdf), "startxref\n", "startxref\n9", 1)),
			broken("truncated", cut(pdf)),
		}},
		{"postscript", []Seed{
			valid("page", "%!PS-Adobe-3.0\n%%BoundingBox: 0 0 100 100\n%%Pages: 1\n%%EndComments\n/sq { dup mul } def\nnewpath 10 10 moveto 90 90 lineto 3 sq setlinewidth stroke\n/Helvetica findfont 12 scalefont setfont 20 20 moveto (Hello \\(you\\)) show\nshowpage\n%%EOF\n"),
			broken("stack", "%!PS\npop pop } ( exec\n"),
		}},
		{"rtf", []Seed{
			valid("paragraph", `{\rtf1\ansi\deff0{\fonttbl{\f0 Times;}}\pard Hello {\b bold} \'e9 \u8364? end.\par}`),
			broken("braces", `{\rtf1{{{\bin99999 x`),
		}},
		{"eps", []Seed{
			valid("box", "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n0 0 9 9 rectfill\n%%EOF\n"),
		}},
	}
}

// encodePDF writes one page with one line of text, and a cross-reference table
// with the true offsets.
func encodePDF() []byte {
	content := "BT /F1 12 Tf 10 50 Td (Hello) Tj ET"
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(content), content),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
	}
	b := []byte("%PDF-1.4\n")
	xref := fmt.Appendf(nil, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for i, o := range objects {
		xref = fmt.Appendf(xref, "%010d 00000 n \n", len(b))
		b = fmt.Appendf(b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := len(b)
	b = append(b, xref...)
	return fmt.Appendf(b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, start)
}
