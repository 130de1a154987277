package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"fovea/api/v2grpc/pb"
	"fovea/internal/testenv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// proxied is a proxy with the configuration of docs/proxy.md, and the server behind it.
type proxied struct {
	server  *process
	address string
	trust   *tls.Config
}

// configuration reads the block of a language of docs/proxy.md, with other addresses and files.
func configuration(t *testing.T, language string, change ...string) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "proxy.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$").FindStringSubmatch(string(page))
	if m == nil {
		t.Fatalf("the page has no block in %s", language)
	}
	for i := 0; i < len(change); i += 2 {
		if !strings.Contains(m[1], change[i]) {
			t.Fatalf("the configuration has no %s", change[i])
		}
	}
	return strings.NewReplacer(change...).Replace(m[1])
}

// startBehind starts a server, and a proxy in front of it. Write writes the proxy's configuration to a folder, from the addresses that
// replace the page's, and returns the command.
func startBehind(t *testing.T, program, language string, write func(dir, configuration string) *exec.Cmd, listen string) *proxied {
	t.Helper()
	dir := t.TempDir()
	ca := testenv.NewCA(t)
	certificate, key := ca.Files(dir, "fovea.example", func(c *x509.Certificate) { c.DNSNames = []string{"fovea.example"} })
	server := start(t, newRepository(t), "--http.trusted_proxies=127.0.0.1", "--grpc.address=127.0.0.1:0", "--http.body_timeout=2s").waitReady()
	p := &proxied{server: server, address: freeAddress(t), trust: &tls.Config{RootCAs: ca.Pool(), ServerName: "fovea.example"}}
	port := p.address[strings.LastIndexByte(p.address, ':')+1:]
	cmd := write(dir, configuration(t, language, "127.0.0.1:8000", server.address, "127.0.0.1:8001", server.grpcAddress(),
		"/etc/fovea/tls.crt", certificate, "/etc/fovea/tls.key", key, listen, strings.ReplaceAll(strings.Replace(listen, "443", "127.0.0.1:"+port, 1), "fovea.example {", "fovea.example:"+port+" {")))
	var log testenv.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", program, log.String())
		}
	})
	server.wait(program+" listens", func() bool {
		connection, err := net.Dial("tcp", p.address)
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	})
	return p
}

// freeAddress returns an address that was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// TestBehindNginx and TestBehindCaddy run the configurations of docs/proxy.md.
func TestBehindNginx(t *testing.T) {
	nginx := testenv.Program(t, "nginx")
	p := startBehind(t, "nginx", "nginx", func(dir, configuration string) *exec.Cmd {
		temporary := ""
		for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			temporary += name + "_temp_path " + filepath.Join(dir, name) + ";\n"
		}
		text := "daemon off;\npid " + filepath.Join(dir, "pid") + ";\nerror_log stderr warn;\nevents {}\nhttp {\naccess_log off;\n" + temporary + configuration + "}\n"
		if os.Geteuid() == 0 {
			text = "user root;\n" + text
		}
		file := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return exec.Command(nginx, "-p", dir, "-e", "stderr", "-c", file)
	}, "listen 443")
	p.check(t)
}

func TestBehindCaddy(t *testing.T) {
	caddy := testenv.Program(t, "caddy")
	p := startBehind(t, "caddy", "caddy", func(dir, configuration string) *exec.Cmd {
		file := filepath.Join(dir, "Caddyfile")
		global := "{\nadmin off\nauto_https disable_redirects\nskip_install_trust\n}\n"
		if err := os.WriteFile(file, []byte(global+configuration), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(caddy, "run", "--config", file, "--adapter", "caddyfile")
		cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		return cmd
	}, "fovea.example {")
	p.check(t)
}

func (p *proxied) check(t *testing.T) {
	t.Helper()
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %t", http2), func(t *testing.T) { p.checkHTTP(t, p.client(http2)) })
	}
	t.Run("gRPC", p.checkGRPC)
}

// client returns a client whose address is 127.0.0.2, which the server does not trust.
func (p *proxied) client(http2 bool) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	transport := &http.Transport{TLSClientConfig: p.trust.Clone(), ForceAttemptHTTP2: http2,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, p.address)
		}}
	if !http2 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// send posts a body and returns the status and the response.
func (p *proxied) send(t *testing.T, client *http.Client, method, path, contentType string, body io.Reader) (int, string) {
	t.Helper()
	port := p.address[strings.LastIndexByte(p.address, ':')+1:]
	r, err := http.NewRequestWithContext(t.Context(), method, "https://fovea.example:"+port+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("X-Forwarded-For", "203.0.113.7") // a lie
	response, err := client.Do(r)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
		return 0, ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
	}
	return response.StatusCode, string(text)
}

func (p *proxied) checkHTTP(t *testing.T, client *http.Client) {
	t.Helper()
	defer client.CloseIdleConnections()
	image := testenv.Image(t, "coffee.jpg")
	status, text := p.send(t, client, "POST", predictPath, "image/jpeg", bytes.NewReader(image))
	if status != 200 || !strings.Contains(text, "espresso") {
		t.Errorf("an image: %d %s", status, text)
	}
	var many bytes.Buffer
	form := multipart.NewWriter(&many)
	for range 48 {
		part, err := form.CreateFormFile("image", "coffee.jpg")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write(image); err != nil {
			t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	size := many.Len()
	if status, text := p.send(t, client, "POST", predictPath+"?top_k=1", form.FormDataContentType(), &many); status != 200 || strings.Count(text, "espresso") != 48 {
		t.Errorf("48 images, %d bytes: %d %s", size, status, text)
	}
	if status, text := p.send(t, client, "POST", predictPath, "image/jpeg", bytes.NewReader(make([]byte, 20<<20))); status != 413 || !strings.Contains(text, `"code":"body_too_large"`) {
		t.Errorf("a body that is too large for Fovea: %d %s", status, text)
	}
	p.checkSlow(t, client, image)
	if status, text := p.send(t, client, "GET", "/metrics", "", nil); status != 404 || strings.Contains(text, "fovea_") {
		t.Errorf("metrics: %d %s", status, text)
	}
	p.server.wait("the log has the client's address", func() bool { return strings.Contains(p.server.logged(), `"client":"127.0.0.2"`) })
	if strings.Contains(p.server.logged(), "203.0.113.7") {
		t.Error("the server believes the client's X-Forwarded-For")
	}
}

// checkSlow sends a body that stops until the server has ended the request. Caddy answers over HTTP/1.1 only when it has ended, too.
func (p *proxied) checkSlow(t *testing.T, client *http.Client, image []byte) {
	t.Helper()
	const ended = `"status":408`
	before := strings.Count(p.server.logged(), ended)
	slow, end := io.Pipe()
	go func() {
		_, _ = end.Write(image[:1000])
		for strings.Count(p.server.logged(), ended) == before && t.Context().Err() == nil {
			time.Sleep(50 * time.Millisecond)
		}
		_ = end.Close()
	}()
	if status, text := p.send(t, client, "POST", predictPath, "image/jpeg", slow); status != 408 || !strings.Contains(text, `"code":"body_timeout"`) {
		t.Errorf("a body that does not arrive: %d %s", status, text)
	}
}

// checkGRPC makes a call, and a stream whose second request depends on the first response.
func (p *proxied) checkGRPC(t *testing.T) {
	t.Helper()
	connection, err := grpc.NewClient("passthrough:///"+p.address, grpc.WithTransportCredentials(credentials.NewTLS(p.trust)))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	image := testenv.Image(t, "coffee.jpg")
	content := append([]byte{byte(len(image)), byte(len(image) >> 8), byte(len(image) >> 16), 0}, image...)
	request := &pb.ModelInferRequest{ModelName: model + ".image", RawInputContents: [][]byte{content},
		Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: "BYTES", Shape: []int64{1, 1}}}}
	inference := pb.NewGRPCInferenceServiceClient(connection)
	response, err := inference.ModelInfer(t.Context(), request)
	if err != nil || len(response.RawOutputContents) != 1 || len(response.RawOutputContents[0]) != 4000 {
		t.Fatalf("a call: %v, %v", response, err)
	}
	stream, err := inference.ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 { // more bytes than a request of HTTP may have in nginx by default
		request.Id = fmt.Sprint(i)
		if err := stream.Send(request); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil || answer.ErrorMessage != "" || answer.InferResponse.Id != request.Id {
			t.Fatalf("request %d of a stream: %v, %v", i, answer, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end of a stream: %v", err)
	}
}
