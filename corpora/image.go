package corpora

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"slices"
	"strings"
)

// imageFamilies are still pictures and animations.
func imageFamilies() []family {
	pngRGBA, pngPalette := encodePNG(picture()), encodePNG(palettePicture(0))
	gifOne, gifTwo := encodeGIF(1), encodeGIF(2)
	jpegColour := encodeJPEG(picture())
	bmp := encodeBMP(picture())
	const webp = "RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00"
	return []family{
		{"png", []Seed{
			valid("rgba", pngRGBA),
			valid("palette", pngPalette),
			valid("gray16", encodePNG(image.NewGray16(image.Rect(0, 0, 3, 3)))),
			odd("one-pixel", encodePNG(image.NewGray(image.Rect(0, 0, 1, 1)))),
			odd("text-after-end", append(bytes.Clone(pngPalette), "trailing"...)),
			broken("checksum", flip(pngRGBA, 30)),
			broken("truncated", cut(pngRGBA)),
		}},
		{"gif", []Seed{
			valid("still", gifOne),
			valid("animation", gifTwo),
			broken("truncated", cut(gifTwo)),
			odd("no-frames", "GIF89a\x01\x00\x01\x00\x00\x00\x00;"),
			odd("comment-and-loop", slices.Concat(gifTwo[:len(gifTwo)-1], []byte("!\xfe\x04text\x00!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00;"))),
		}},
		{"jpeg", []Seed{
			valid("colour", jpegColour),
			valid("gray", encodeJPEG(image.NewGray(image.Rect(0, 0, 8, 8)))),
			broken("truncated", cut(jpegColour)),
			odd("comment", slices.Concat(jpegColour[:2], []byte("\xff\xfe\x00\x06text\xff\xe1\x00\x10Exif\x00\x00II*\x00\x08\x00\x00\x00"), jpegColour[2:])),
		}},
		{"bmp", []Seed{
			valid("rgb", bmp),
			broken("huge", flip(bmp, 20)), // the width's third byte
			broken("header-only", bmp[:14]),
			odd("os2", "BM\x1e\x00\x00\x00\x00\x00\x00\x00\x1a\x00\x00\x00\x0c\x00\x00\x00\x01\x00\x01\x00\x01\x00\x18\x00\x01\x02\x03\x00"),
		}},
		{"tiff", []Seed{
			valid("gray-little", encodeTIFF(binary.LittleEndian, "II")),
			valid("gray-big", encodeTIFF(binary.BigEndian, "MM")),
			broken("truncated", cut(encodeTIFF(binary.LittleEndian, "II"))),
			odd("no-directory", "II*\x00\x00\x00\x00\x00"),
		}},
		{"webp", []Seed{
			valid("lossless", webp), // one pixel
			odd("extended", "RIFF\x12\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
			broken("chunk-size", flip([]byte(webp), 18)),
			broken("truncated", cut([]byte(webp))),
		}},
		{"ico", []Seed{
			valid("png", encodeICO(pngPalette, 4)),
			odd("cursor", flip(encodeICO(pngPalette, 4), 2)),
			broken("count", "\x00\x00\x01\x00\xff\xff\x10\x10"),
		}},
		{"tga", []Seed{
			valid("rgb", append([]byte{0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 24, 0x20}, 1, 2, 3, 250, 251, 252)),
			odd("footer", "\x00\x00\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01\x00\x08\x20\x81\x7f\x00\x00\x00\x00\x00\x00\x00\x00TRUEVISION-XFILE.\x00"),
			broken("type", "\x00\x01\xff\x00\x00\xff\xff\x20\x00\x00\x00\x00\xff\xff\xff\xff\x18\x00"),
		}},
		{"pnm", []Seed{
			valid("ascii-bitmap", "P1\n# comment\n3 2\n1 0 1\n0 1 0\n"),
			valid("ascii-gray", "P2 2 2 255\n0 128 255 7\n"),
			valid("binary-colour", "P6\n2 1\n255\n\x00\x01\x02\xfd\xfe\xff"),
			broken("short", "P6\n200 100\n255\n\x00\x01"),
			broken("zero-range", "P5 1 1 0\n\x00"),
			odd("anymap", "P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n\x01\x02\x03\x04"),
		}},
		{"xpm", []Seed{
			valid("colours", "/* XPM */\nstatic char *x[] = {\n\"2 2 2 1\",\n\"a c #FF0000\",\n\"b c None\",\n\"ab\",\n\"ba\"};\n"),
			odd("wide-key", "/* XPM */\nstatic char *x[] = {\n\"1 1 1 2 0 0 XPMEXT\",\n\"aa m white c #F00 s a\",\n\"aa\"};\n"),
			broken("counts", "/* XPM */\nstatic char *x[] = {\n\"9 9 9 9\",\n\"a c #\"};\n"),
		}},
		{"xbm", []Seed{
			valid("bits", "#define x_width 8\n#define x_height 2\nstatic char x_bits[] = { 0x81, 0x7e };\n"),
		}},
		{"farbfeld", []Seed{
			valid("pixel", "farbfeld\x00\x00\x00\x01\x00\x00\x00\x01"+strings.Repeat("\x80\x01", 4)),
		}},
	}
}

func picture() image.Image {
	m := image.NewRGBA(image.Rect(0, 0, 5, 4))
	for y := range 4 {
		for x := range 5 {
			m.Set(x, y, color.RGBA{R: uint8(50 * x), G: uint8(60 * y), B: 128, A: 255})
		}
	}
	return m
}

func palettePicture(shift int) *image.Paletted {
	m := image.NewPaletted(image.Rect(0, 0, 4, 4), color.Palette{color.Black, color.White, color.RGBA{R: 255, A: 255}, color.Transparent})
	for i := range m.Pix {
		m.Pix[i] = uint8((i + shift) % 4)
	}
	return m
}

func encodePNG(m image.Image) []byte {
	var b bytes.Buffer
	err := png.Encode(&b, m)
	return must(b.Bytes(), err)
}

func encodeJPEG(m image.Image) []byte {
	var b bytes.Buffer
	err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 50})
	return must(b.Bytes(), err)
}

func encodeGIF(frames int) []byte {
	g := &gif.GIF{}
	for i := range frames {
		g.Image = append(g.Image, palettePicture(i))
		g.Delay = append(g.Delay, 10)
	}
	var b bytes.Buffer
	err := gif.EncodeAll(&b, g)
	return must(b.Bytes(), err)
}

// encodeBMP writes the BITMAPINFOHEADER form, 24 bits a pixel, bottom row first.
func encodeBMP(m image.Image) []byte {
	w, h := m.Bounds().Dx(), m.Bounds().Dy()
	var pixels []byte
	for y := h - 1; y >= 0; y-- {
		for x := range w {
			r, g, b, _ := m.At(x, y).RGBA()
			pixels = append(pixels, byte(b>>8), byte(g>>8), byte(r>>8))
		}
		for len(pixels)%4 != 0 {
			pixels = append(pixels, 0)
		}
	}
	le := binary.LittleEndian
	b := []byte("BM")
	b = le.AppendUint32(b, uint32(14+40+len(pixels)))
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, 14+40)
	b = le.AppendUint32(b, 40)
	b = le.AppendUint32(b, uint32(w))
	b = le.AppendUint32(b, uint32(h))
	b = le.AppendUint16(b, 1)
	b = le.AppendUint16(b, 24)
	b = append(b, make([]byte, 24)...) // no compression, no palette
	return append(b, pixels...)
}

// encodeTIFF writes a 2x2 gray picture in one uncompressed strip that lies right
// behind the header.
func encodeTIFF(order binary.AppendByteOrder, mark string) []byte {
	const long, short = 4, 3
	b := order.AppendUint16([]byte(mark), 42)
	b = order.AppendUint32(b, 12)
	b = append(b, 0, 85, 170, 255)
	entries := []struct {
		tag, typ uint16
		value    uint32
	}{
		{256, long, 2}, // width
		{257, long, 2}, // length
		{258, short, 8},
		{259, short, 1}, // no compression
		{262, short, 1}, // black is zero
		{273, long, 8},  // strip offset
		{277, short, 1},
		{278, long, 2}, // rows per strip
		{279, long, 4}, // strip bytes
	}
	b = order.AppendUint16(b, uint16(len(entries)))
	for _, e := range entries {
		b = order.AppendUint16(b, e.tag)
		b = order.AppendUint16(b, e.typ)
		b = order.AppendUint32(b, 1)
		if e.typ == short { // left-justified in the four bytes
			b = order.AppendUint16(b, uint16(e.value))
			b = order.AppendUint16(b, 0)
		} else {
			b = order.AppendUint32(b, e.value)
		}
	}
	return order.AppendUint32(b, 0)
}

func encodeICO(png []byte, side byte) []byte {
	le := binary.LittleEndian
	b := []byte{0, 0, 1, 0, 1, 0, side, side, 0, 0, 1, 0, 32, 0}
	b = le.AppendUint32(b, uint32(len(png)))
	b = le.AppendUint32(b, uint32(len(b)+4)) // the picture follows this field
	return append(b, png...)
}
