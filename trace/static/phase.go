package static

// spread marks the functions that may run when main has begun: those whose address something
// keeps, as that of main itself, of handlers and of what is called at the end, and all that these call. What calls by a
// pointer may be what calls main, and goes on afterwards. The loader's own functions are not among them, although
// it looks up functions late where they are bound lazily. It is a hint: too many are marked rather than too few.
func spread(functions []*function) {
	var queue []*function
	mark := func(f *function) {
		if !f.late && !f.startup {
			f.late = true
			queue = append(queue, f)
		}
	}
	called := func(f *function) {
		for i := range f.flow {
			for _, t := range f.flow[i].beyond().targets {
				mark(t)
			}
			for _, t := range f.flow[i].beyond().middle {
				mark(t.f)
			}
		}
	}
	for _, f := range functions {
		if f.kept {
			mark(f)
		}
		for i := range f.flow {
			if f.flow[i].unknown {
				called(f)
				break
			}
		}
	}
	for len(queue) > 0 {
		f := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		called(f)
	}
}
