package api

import (
	"time"

	"github.com/kadrehq/kadre/internal/embed"
	"github.com/kadrehq/kadre/internal/proc"
)

// What options are for. One that fits several kinds is of an exported type that implements each.
type (
	// InitOption is an option of Init.
	InitOption interface{ applyInit(*embed.Options) error }
	// TaskOption is an option of Func, Proc and Stream.
	TaskOption interface{ applyTask(*proc.Options) }
	// ClassOption is an option of Class.
	ClassOption interface{ applyClass(*proc.Options) }
	// MethodOption is an option of Method and MethodProc.
	MethodOption interface{ applyMethod(*proc.Options) }
	// PutOption is an option of Put.
	PutOption interface{ putError() error }
	// WaitOption is an option of Wait.
	WaitOption interface{ applyWait(*waitOptions) }
	// CancelOption is an option of Cancel.
	CancelOption interface{ applyCancel(*cancelOptions) }
	// GetActorOption is an option of GetActor.
	GetActorOption interface{ applyGetActor(*proc.Options) }
)

type (
	// ResourceOption says what a node has, or what a task or actor needs.
	ResourceOption struct {
		node func(*embed.Options) error
		call change
	}
	// PlaceOption says where tasks and actors run.
	PlaceOption struct{ call change }
	// NameOption gives the registered name of a function, class or method.
	NameOption struct{ call change }
	// RetryOption says when a call is given up or made again.
	RetryOption struct{ call change }
	// NamespaceOption says where an actor's name is unique.
	NamespaceOption struct{ call change }

	nodeOption  func(*embed.Options) error
	taskOption  struct{ call change }
	classOption struct{ call change }
	change      func(*proc.Options)
)

func (o nodeOption) applyInit(e *embed.Options) error     { return o(e) }
func (o ResourceOption) applyInit(e *embed.Options) error { return o.node(e) }
func (o ResourceOption) applyTask(p *proc.Options)        { o.call(p) }
func (o ResourceOption) applyClass(p *proc.Options)       { o.call(p) }
func (o PlaceOption) applyTask(p *proc.Options)           { o.call(p) }
func (o PlaceOption) applyClass(p *proc.Options)          { o.call(p) }
func (o NameOption) applyTask(p *proc.Options)            { o.call(p) }
func (o NameOption) applyClass(p *proc.Options)           { o.call(p) }
func (o NameOption) applyMethod(p *proc.Options)          { o.call(p) }
func (o RetryOption) applyTask(p *proc.Options)           { o.call(p) }
func (o RetryOption) applyMethod(p *proc.Options)         { o.call(p) }
func (o NamespaceOption) applyClass(p *proc.Options)      { o.call(p) }
func (o NamespaceOption) applyGetActor(p *proc.Options)   { o.call(p) }
func (o taskOption) applyTask(p *proc.Options)            { o.call(p) }
func (o classOption) applyClass(p *proc.Options)          { o.call(p) }

// applying gives the change that a list of options makes.
func applying[O any](opts []O, apply func(O, *proc.Options)) func(*proc.Options) {
	return func(p *proc.Options) {
		for _, o := range opts {
			apply(o, p)
		}
	}
}

func taskChange(opts []TaskOption) func(*proc.Options) { return applying(opts, TaskOption.applyTask) }

// fail makes the calls fail that use p; the first reason counts.
func fail(p *proc.Options, err error) {
	if p.Later == nil {
		p.Later = err
	}
}

// notYet is the change of an option of a later release.
func notYet(name string) change { return func(p *proc.Options) { fail(p, later(name)) } }

type putOption struct{ err error }

func (o putOption) putError() error { return o.err }

// Replicas will keep n copies of an object.
func Replicas(n int) PutOption { return putOption{later("Replicas")} }

type (
	cancelOptions proc.Cancelling
	cancelOption  func(*cancelOptions)
)

func (o cancelOption) applyCancel(c *cancelOptions) { o(c) }

// Force ends the process of a task with OwnProcess that has not returned 5 s after its context ended.
func Force() CancelOption { return cancelOption(func(c *cancelOptions) { c.Force = true }) }

// Recursive cancels what the task has started under its own context, too, and what that has started, wherever it is. What was
// started under context.WithoutCancel goes on.
func Recursive() CancelOption { return cancelOption(func(c *cancelOptions) { c.Recursive = true }) }

type waitOptions struct {
	n       int           // how many are wanted
	timeout time.Duration // -1: none
}

type waitOption func(*waitOptions)

func (o waitOption) applyWait(w *waitOptions) { o(w) }

// NumReturns says how many refs Wait waits for. The default is 1.
func NumReturns(n int) WaitOption { return waitOption(func(w *waitOptions) { w.n = n }) }

// WithTimeout bounds Wait. Running out of it is no error.
func WithTimeout(d time.Duration) WaitOption {
	return waitOption(func(w *waitOptions) { w.timeout = max(d, 0) })
}
