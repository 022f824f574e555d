package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"time"
)

const grace = time.Second // between the interrupt and the end of a process

// children are the processes that run; none may outlive the host.
type children struct {
	lock    sync.Mutex
	running map[*exec.Cmd]chan struct{}
	closed  bool
}

// run runs a process to its end, which comes early when the engine gives up the call.
func (c *children) run(ctx context.Context, cmd *exec.Cmd) error {
	cmd.WaitDelay = grace // a process of its own may hold its streams open
	ended := make(chan struct{})
	c.lock.Lock()
	if c.closed {
		c.lock.Unlock()
		return errors.New("the language host is about to end")
	}
	if err := cmd.Start(); err != nil {
		c.lock.Unlock()
		return err
	}
	if c.running == nil {
		c.running = map[*exec.Cmd]chan struct{}{}
	}
	c.running[cmd] = ended
	c.lock.Unlock()
	defer context.AfterFunc(ctx, func() { end(cmd, ended) })()
	err := cmd.Wait()
	close(ended)
	c.lock.Lock()
	delete(c.running, cmd)
	c.lock.Unlock()
	return err
}

// stop ends all processes, at the same time.
func (c *children) stop() {
	var group sync.WaitGroup
	c.lock.Lock()
	for cmd, ended := range c.running {
		group.Go(func() { end(cmd, ended) })
	}
	c.lock.Unlock()
	group.Wait()
}

// close ends all processes, and lets no new one start.
func (c *children) close() {
	c.lock.Lock()
	c.closed = true
	c.lock.Unlock()
	c.stop()
}

// end interrupts a process, kills it a second later, and returns when it has ended.
func end(cmd *exec.Cmd, ended <-chan struct{}) {
	_ = cmd.Process.Signal(os.Interrupt) // it may just have ended
	select {
	case <-ended:
	case <-time.After(grace):
		_ = cmd.Process.Kill()
		<-ended
	}
}
