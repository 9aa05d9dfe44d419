// Command webhook runs the pod mutator of azure-workload-identity as a process outside of a cluster. Upstream's own main
// always listens on port 9443; this one listens where it is told to (port 0: any free port) and writes the address that
// it got to a file once it can answer.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"

	wh "github.com/Azure/azure-workload-identity/pkg/webhook"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/go-logr/logr"
)

// The path that upstream registers the pod mutator at.
const mutatePodPath = "/mutate-v1-pod"

var (
	listenAddress = flag.String("listen-address", "127.0.0.1:0", "`host:port` of the admission webhook; port 0 is any free port")
	addressFile   = flag.String("address-file", "", "`file` to write the listen address to when the webhook can answer (required)")
	certFile      = flag.String("tls-cert-file", "", "serving certificate, `file` in PEM (required)")
	keyFile       = flag.String("tls-private-key-file", "", "key of the serving certificate, `file` in PEM (required)")
)

func main() {
	flag.Parse()
	log.SetLogger(logr.FromSlogHandler(slog.Default().Handler()))
	if err := run(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "webhook:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	certificate, err := tls.LoadX509KeyPair(*certFile, *keyFile)
	if err != nil {
		return fmt.Errorf("serving certificate: %w", err)
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                 scheme.Scheme,
		HealthProbeBindAddress: "0",
		Metrics:                metricsserver.Options{BindAddress: "0"},
	})
	if err != nil {
		return err
	}
	// The mutator reads ServiceAccounts through the manager's cache. An informer that exists before the manager starts is
	// synced before anything is served.
	if _, err := mgr.GetCache().GetInformer(ctx, &corev1.ServiceAccount{}); err != nil {
		return fmt.Errorf("informer of ServiceAccounts: %w", err)
	}
	// Empty: upstream's audience, and no custom token endpoint.
	mutator, err := wh.NewPodMutator(mgr.GetClient(), mgr.GetAPIReader(), "", mgr.GetScheme(), mgr.GetConfig(), "", "")
	if err != nil {
		return fmt.Errorf("pod mutator: %w", err)
	}
	handler, err := admission.StandaloneWebhook(&admission.Webhook{Handler: mutator}, admission.StandaloneOptions{})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(mutatePodPath, handler)
	server := &http.Server{
		Handler:   mux,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13},
	}
	if err := mgr.Add(serve(server)); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// serve is the part of the manager that listens, says where, and answers until the manager stops.
func serve(server *http.Server) manager.RunnableFunc {
	return func(ctx context.Context) error {
		listener, err := net.Listen("tcp", *listenAddress)
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { _ = server.Close() })
		if err := announce(listener.Addr()); err != nil {
			return err
		}
		if err := server.ServeTLS(listener, "", ""); err != http.ErrServerClosed {
			return err
		}
		return nil
	}
}

// announce writes the address in one step, so that a reader never sees half of it.
func announce(address net.Addr) error {
	partial := *addressFile + ".partial"
	if err := os.WriteFile(partial, []byte(address.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(partial, *addressFile)
}
