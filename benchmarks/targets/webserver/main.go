// Webserver is an HTTP server as people write them in Go: files of a directory, an interface in JSON that keeps what it
// is given in a file, uploads, a page from a template, a proxy, a program that it runs, and a graceful end. It is a target to learn
// from; it decides nothing for tjfuzz, and its hazard is that it believes its clients.
//
//	webserver -listen 127.0.0.1:8080 -root public -data notes.json -upstream http://127.0.0.1:9000
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"html/template"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

var page = template.Must(template.New("page").Parse("<title>{{.Host}}</title>{{range $name, $text := .Notes}}<p>{{$name}}: {{$text}}</p>{{end}}\n"))

// notes are texts by name, kept in a file.
type notes struct {
	mu   sync.Mutex
	file string
	all  map[string]string
}

func (n *notes) load() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = map[string]string{}
	data, err := os.ReadFile(n.file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(data, &n.all)
}

// save replaces the file as a whole.
func (n *notes) save() error {
	data, err := json.Marshal(n.all)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(n.file), ".notes-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), n.file)
}

func (n *notes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := r.PathValue("name")
	switch r.Method {
	case http.MethodGet:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(n.all)
		return
	case http.MethodPut:
		var text string
		if err := json.NewDecoder(r.Body).Decode(&text); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		n.all[name] = text
	case http.MethodDelete:
		delete(n.all, name)
	}
	if err := n.save(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func upload(w http.ResponseWriter, r *http.Request) {
	in, _, err := r.FormFile("file") // a large one goes to a temporary file
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer in.Close()
	size, err := io.Copy(io.Discard, in)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(size)
}

func main() {
	log.SetFlags(0)
	listen := flag.String("listen", "127.0.0.1:8080", "the `address` to listen at")
	root := flag.String("root", ".", "the `directory` with files")
	data := flag.String("data", "notes.json", "the `file` for notes")
	upstream := flag.String("upstream", "http://127.0.0.1:9000", "the `URL` of who answers below /proxy/")
	flag.Parse()
	n := &notes{file: *data}
	if err := n.load(); err != nil {
		log.Fatal(err)
	}
	to, err := url.Parse(*upstream)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(*root)))
	mux.Handle("/notes", n)
	mux.Handle("/notes/{name}", n)
	mux.HandleFunc("POST /upload", upload)
	mux.Handle("/proxy/", http.StripPrefix("/proxy", httputil.NewSingleHostReverseProxy(to)))
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		host, _ := os.Hostname()
		_ = page.Execute(w, map[string]any{"Host": host, "Notes": n.all})
	})
	mux.HandleFunc("/uname", func(w http.ResponseWriter, r *http.Request) {
		out, err := exec.CommandContext(r.Context(), "uname", "-r").Output()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(out)
	})
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	go func() {
		for range reload {
			if err := n.load(); err != nil {
				log.Print(err)
			}
		}
	}()
	go func() {
		<-ctx.Done()
		soon, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(soon)
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
