package replication

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"payload-cdc/internal/failure"
)

// What a caller of Open and Run has to tell apart. Ask with errors.Is.
var (
	// ErrActive means that another connection reads from the slot: wait as a standby. It comes as an *ActiveError.
	ErrActive = errors.New("the slot is in use")
	// ErrMissing means that there is no such slot. Whatever was committed since the checkpoint has to be proved.
	ErrMissing = errors.New("the slot does not exist")
	// ErrExists means that CreateSlot found the slot there already.
	ErrExists = errors.New("the slot exists already")
	// ErrLost means that the server has thrown away log that the slot needs. It is for good: drop it, create it, sweep.
	ErrLost = errors.New("the slot is lost")
	// ErrPublicationMissing means that the publication does not exist, or did not where the slot stands in the log:
	// that does not heal by waiting. Create it, make a new slot, sweep.
	ErrPublicationMissing = errors.New("the publication does not exist at the slot's position")
	// ErrAhead means that the checkpoint lies beyond the end of the server's log: this is another, or a restored,
	// database.
	ErrAhead = errors.New("the checkpoint is ahead of the server")
	// ErrGap means that the slot was confirmed further than the checkpoint: what lies between will not be sent again.
	ErrGap = errors.New("the slot is ahead of the checkpoint")
	// ErrSynchronous means that commits on the primary would wait for us.
	ErrSynchronous = errors.New("the server counts us as a synchronous standby")
	// ErrStalled means that the Receiver stayed in one call for longer than Config.StallTimeout, and the connection was
	// closed rather than left undrained.
	ErrStalled = errors.New("the receiver stalled")
	// ErrStopping means that the server ends the stream, or cannot shut down before all of it is confirmed and that did
	// not happen in time. Connect again with backoff.
	ErrStopping = errors.New("the server is shutting down")
)

// ActiveError is ErrActive with whom it is that reads.
type ActiveError struct {
	Slot string
	PID  int // of the server process; zero when unknown
}

func (e *ActiveError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("slot %s is in use", e.Slot)
	}
	return fmt.Sprintf("slot %s is in use by PID %d", e.Slot, e.PID)
}

// Is makes errors.Is(err, ErrActive) true.
func (e *ActiveError) Is(target error) bool { return target == ErrActive }

// refused is an error that a person has to end: thing and cause in err, and what to do about it.
func refused(err error, remedy string) error {
	return &failure.Error{Class: failure.Systemic, Provider: "postgres", Remedy: remedy, Err: err}
}

// code is the SQLSTATE of err, or empty.
func code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// SQLSTATEs that decide something here. Texts are never compared: they are translated by lc_messages.
const (
	stateInUse        = "55006" // object_in_use
	stateNotReady     = "55000" // object_not_in_prerequisite_state
	stateUndefined    = "42704" // undefined_object
	stateDuplicate    = "42710" // duplicate_object
	stateNoPrivilege  = "42501" // insufficient_privilege
	stateLimit        = "53400" // configuration_limit_exceeded: max_replication_slots
	stateConnections  = "53300" // too_many_connections: max_wal_senders too
	stateLockTimeout  = "55P03" // lock_not_available
	stateProtocol     = "08P01" // protocol_violation: what poolers answer to a startup parameter
	stateNotSupported = "0A000" // feature_not_supported
)
