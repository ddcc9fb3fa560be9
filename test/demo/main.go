// Command demo shows what cdc does, on this machine alone: a private Postgres with a real Payload project and content,
// servers that speak the protocols of Upstash Vector and OpenAI, and `cdc run` between them. It changes documents
// through Payload, and says when each change could be found in the index.
//
//	make demo            stays up afterwards, until Ctrl-C
//	make demo ONCE=1     ends by itself, with 1 if anything did not arrive
//
// The index is compared with what Payload itself says is published, and every wait is bounded: the demo ends with what
// it has promised, or with an error that says what was missing. It leaves nothing behind but, after a failure, cdc's log.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(ctx)
	go endWithParent(ctx, cancel)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends us at once; those who watch us clean up
	}()
	code := run(ctx, NewScreen(os.Stdout), !slices.Contains([]string{"", "0", "false"}, os.Getenv("ONCE")))
	cancel()
	os.Exit(code)
}

// endWithParent calls end when the process that started us is gone: `go run` dies of a SIGTERM without passing it on.
func endWithParent(ctx context.Context, end func()) {
	parent := os.Getppid()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for os.Getppid() == parent {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	end()
}

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitInterrupted = 130 // by a signal, before everything was shown
)

// run is the whole demo. It returns the exit code.
func run(ctx context.Context, out *Screen, once bool) int {
	out.Title("cdc keeps a vector index equal to what a Payload CMS has published.")
	out.Text("Everything below runs on this machine, needs no account, and is gone when it ends.")

	stage := &Stage{out: out}
	err := show(ctx, out, stage)
	if err == nil && !once {
		out.leave(stage)
		err = stage.Wait(ctx)
	}
	interrupted := ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled))
	shown := err == nil
	if err != nil && !interrupted {
		out.Failure(err)
		out.logEnd(stage)
	}

	failed := err != nil && !interrupted
	if err := stage.Close(failed); err != nil {
		out.Failure(err)
		failed = true
	}
	switch {
	case failed:
		return exitFailed
	case !shown:
		out.Text("Stopped before everything was shown.")
		return exitInterrupted
	}
	return exitDone
}

// show sets the stage and plays on it.
func show(ctx context.Context, out *Screen, stage *Stage) error {
	if err := stage.Open(ctx); err != nil {
		return err
	}
	if err := stage.playChanges(ctx); err != nil {
		return err
	}
	if err := stage.playSearch(ctx); err != nil {
		return err
	}
	out.Title("What an operator sees: cdc status")
	status, err := stage.cdc.Output(ctx, "status")
	if err != nil {
		return err
	}
	out.Block(status)
	return nil
}

// leave says what a person can do while everything keeps running.
func (s *Screen) leave(stage *Stage) {
	s.Title("Everything keeps running until Ctrl-C")
	s.Pairs(
		"status page", stage.cdc.Address,
		"cdc's log", stage.cdc.LogPath,
		"Payload's database", stage.databaseURI,
	)
	s.Text("\nTo search this index with @upstash/vector and openai from your own code:")
	s.Block(fmt.Sprintf(`export UPSTASH_VECTOR_REST_URL=%s
export UPSTASH_VECTOR_REST_TOKEN=%s
export OPENAI_BASE_URL=%s/v1
export OPENAI_API_KEY=%s
`, stage.providers, token, stage.providers, token))
}

// logEnd prints the end of cdc's log, where the cause of most failures stands.
func (s *Screen) logEnd(stage *Stage) {
	if stage.cdc == nil {
		return
	}
	if end := stage.cdc.LogEnd(15); end != "" {
		s.Text("\nThe end of cdc's log, " + stage.cdc.LogPath + ":")
		s.Block(end)
	}
}
