package corpora

import (
	"encoding/binary"
	"slices"
	"strings"
)

// mediaFamilies are sound, video, fonts and what describes them.
func mediaFamilies() []family {
	wav := encodeWAV()
	midi := encodeMIDI()
	return []family{
		{"wav", []Seed{
			valid("pcm8", wav),
			odd("no-samples", wav[:44]),
			broken("chunk-size", flip(wav, 43)),
			broken("truncated", wav[:20]),
		}},
		{"au", []Seed{
			valid("ulaw", ".snd\x00\x00\x00\x18\x00\x00\x00\x10\x00\x00\x00\x01\x00\x00\x1f\x40\x00\x00\x00\x01"+strings.Repeat("\x7f\xff", 8)),
			odd("no-length", ".snd\x00\x00\x00\x18\xff\xff\xff\xff\x00\x00\x00\x03\x00\x00\xac\x44\x00\x00\x00\x02\x00\x01\xff\xfe"),
			broken("header", ".snd\xff\xff\xff\xff\x00\x00"),
		}},
		{"midi", []Seed{
			valid("note", midi),
			broken("truncated", midi[:len(midi)-5]),
			odd("no-tracks", "MThd\x00\x00\x00\x06\x00\x01\x00\x00\xe7\x28"),
		}},
		{"mp3", []Seed{
			valid("silence", strings.Repeat("\xff\xfb\x90\x00"+strings.Repeat("\x00", 413), 3)), // MPEG-1 layer III, 128 kbit/s, 44.1 kHz
			odd("id3", "ID3\x03\x00\x00\x00\x00\x00\x10TIT2\x00\x00\x00\x05\x00\x00\x00test\x00"),
		}},
		{"y4m", []Seed{
			valid("frames", "YUV4MPEG2 W4 H2 F25:1 Ip A1:1 C420jpeg\n"+strings.Repeat("FRAME\n"+strings.Repeat("\x80", 12), 3)),
			broken("header", "YUV4MPEG2 W0 H-1 F0:0\nFRAME\n"),
			odd("no-frames", "YUV4MPEG2 W4 H2 F25:1\n"),
		}},
		{"mp4", []Seed{
			odd("no-tracks", slices.Concat(
				box("ftyp", []byte("isom\x00\x00\x02\x00isomiso2mp41")),
				box("moov", box("mvhd", slices.Concat(make([]byte, 12), []byte{0, 0, 3, 0xe8}, make([]byte, 4), []byte{0, 1, 0, 0}, make([]byte, 76)))),
				box("mdat", []byte("data")))),
			broken("box-size", "\x00\x00\xff\xffftypisom"),
		}},
		{"subtitles", []Seed{
			valid("srt", "1\n00:00:01,000 --> 00:00:02,500\nHello <i>world</i>\n\n2\n00:00:03,000 --> 00:00:04,000\nBye\n"),
			valid("vtt", "WEBVTT\n\n00:01.000 --> 00:02.500\nHello\n"),
		}},
		{"playlist", []Seed{
			valid("m3u", "#EXTM3U\n#EXTINF:10,Test\n/nonexistent/a.mp3\nhttp://127.0.0.1:9/b.ts\n#EXT-X-ENDLIST\n"),
		}},
	}
}

// encodeWAV writes 64 samples of a sawtooth: PCM, one channel, 8 kHz, 8 bits.
func encodeWAV() []byte {
	const samples = 64
	le := binary.LittleEndian
	b := le.AppendUint32([]byte("RIFF"), 36+samples)
	b = append(b, "WAVEfmt "...)
	b = le.AppendUint32(b, 16)
	b = le.AppendUint16(b, 1) // PCM
	b = le.AppendUint16(b, 1)
	b = le.AppendUint32(b, 8000)
	b = le.AppendUint32(b, 8000)
	b = le.AppendUint16(b, 1)
	b = le.AppendUint16(b, 8)
	b = append(b, "data"...)
	b = le.AppendUint32(b, samples)
	for i := range samples {
		b = append(b, byte(i*4))
	}
	return b
}

func encodeMIDI() []byte {
	track := []byte{
		0, 0xff, 0x51, 3, 7, 0xa1, 0x20, // tempo
		0, 0x90, 60, 64, // note on
		0x60, 0x80, 60, 64, // note off
		0, 0xff, 0x2f, 0, // end of track
	}
	b := []byte("MThd\x00\x00\x00\x06\x00\x00\x00\x01\x00\x60MTrk")
	b = binary.BigEndian.AppendUint32(b, uint32(len(track)))
	return append(b, track...)
}

// box writes one box of ISO/IEC 14496-12.
func box(name string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(append(b, name...), body...)
}
