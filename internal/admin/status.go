package admin

import (
	"encoding/json"
	"slices"
	"time"
)

// State is what an instance is doing, in one word.
type State string

// The states. The first three are healthy, starting becomes one of the others by itself, and the last three wait for
// a person or a provider.
const (
	Streaming  State = "streaming"   // reads the log as it is written
	CatchingUp State = "catching_up" // reads the log, or sweeps, and is behind
	Standby    State = "standby"     // another instance reads the slot; this one takes over when it ends
	Starting   State = "starting"
	Paused     State = "paused" // a provider is not asked; changes are read and kept as owed
	Held       State = "held"   // a sweep would delete suspiciously much and waits for a person
	Lost       State = "lost"   // the slot, or log that it needs, is gone
)

// Time is a moment whose zero means unknown, which is null in JSON.
type Time struct{ time.Time }

// MarshalJSON writes RFC 3339 in UTC, or null.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return t.UTC().MarshalJSON()
}

// Status is everything an operator asks first. As JSON its names are stable: fields are added, never renamed or removed.
// Every field is always there; a number or moment that is not known is null, a text that is not known is empty.
type Status struct {
	Version     string       `json:"version"` // of cdc
	At          Time         `json:"at"`      // when this was looked at; the server sets it if it is zero
	State       State        `json:"state"`
	Reason      string       `json:"reason"` // why, in words for people; empty when the state says it all
	Since       Time         `json:"since"`  // of the state
	Source      Source       `json:"source"`
	Checkpoint  Checkpoint   `json:"checkpoint"`
	Owed        Owed         `json:"owed"`
	Parked      int          `json:"parked"` // documents
	Slot        Slot         `json:"slot"`
	Paused      []Pause      `json:"paused"`
	Findings    []Finding    `json:"findings"`
	Collections []Collection `json:"collections"`
	Owner       Owner        `json:"owner"`
}

// Source is the database that is read.
type Source struct {
	ServerVersion    string `json:"server_version"`    // as the server says it: "17.10"
	SystemIdentifier string `json:"system_identifier"` // decimal; a text because JavaScript cannot hold it as a number
	Database         string `json:"database"`
}

// Checkpoint is how far the log is read and durably saved.
type Checkpoint struct {
	LSN        string   `json:"lsn"`         // end of the last transaction saved, "16/B374D848"
	SavedAt    Time     `json:"saved_at"`    // by our clock
	CommitAt   Time     `json:"commit_at"`   // of that transaction, by the server's clock
	ServerLSN  string   `json:"server_lsn"`  // end of the server's log
	LagBytes   *int64   `json:"lag_bytes"`   // of log between the two
	LagSeconds *float64 `json:"lag_seconds"` // age of the oldest change that is not read; 0 when all is
}

// Owed is what the index may not have yet.
type Owed struct {
	Documents     int     `json:"documents"`
	OldestSeconds float64 `json:"oldest_seconds"` // age of the oldest debt; 0 when nothing is owed
	Sweeps        []Sweep `json:"sweeps"`         // due or running
}

// Sweep is a collection that owes as a whole.
type Sweep struct {
	Collection string `json:"collection"` // slug
	Strength   string `json:"strength"`   // "look" or "prove"
	Reason     string `json:"reason"`     // "first start", "TRUNCATE", …
	Stage      string `json:"stage"`      // how far it has come
	Held       int    `json:"held"`       // documents that are to be deleted and wait for a person; 0 when none do
	Since      Time   `json:"since"`
}

// Slot is the replication slot as the server describes it.
type Slot struct {
	Name          string `json:"name"`
	Publication   string `json:"publication"`
	State         string `json:"state"`  // "streaming", "inactive", "missing", "lost", …
	Active        bool   `json:"active"` // somebody reads from it
	WALStatus     string `json:"wal_status"`
	RetainedBytes int64  `json:"retained_bytes"` // of log that the server keeps because of it
	SafeBytes     *int64 `json:"safe_bytes"`     // of log that may still be written before it is in danger; null when there is no limit
	ConfirmedLSN  string `json:"confirmed_lsn"`
	Failover      bool   `json:"failover"` // it is copied to standbys
}

// Pause is a provider that is not asked at the moment.
type Pause struct {
	Provider string `json:"provider"`
	Reason   string `json:"reason"` // what it answered
	Since    Time   `json:"since"`
	Systemic bool   `json:"systemic"` // a person has to act; otherwise it is only failing
	Waiting  int    `json:"waiting"`  // documents that need it
}

// Finding is something that keeps cdc from doing all it should, and that a person can end. It goes on all the same.
type Finding struct {
	What   string `json:"what"`
	Remedy string `json:"remedy"`
}

// Collection is one collection's part.
type Collection struct {
	Slug        string `json:"slug"`
	Table       string `json:"table"`
	Published   *int   `json:"published"` // documents
	Indexed     int    `json:"indexed"`   // documents that the index is known to hold
	Chunks      int    `json:"chunks"`    // vectors that the index is known to hold
	Owed        int    `json:"owed"`      // documents
	Parked      int    `json:"parked"`    // documents
	SlugGuessed bool   `json:"slug_guessed"`
	Streamed    bool   `json:"streamed"` // the log tells of its changes; otherwise only sweeps find them
}

// Owner is the instance that owns the state.
type Owner struct {
	Instance string `json:"instance"`
	Epoch    int64  `json:"epoch"`
}

// Hide has hide take the secrets out of every text that came from elsewhere.
func (s *Status) Hide(hide func(string) string) {
	texts := []*string{&s.Reason}
	for i := range s.Owed.Sweeps {
		texts = append(texts, &s.Owed.Sweeps[i].Reason)
	}
	for i := range s.Paused {
		texts = append(texts, &s.Paused[i].Reason)
	}
	s.Findings = slices.Clone(s.Findings) // they may be shared with others who look
	for i := range s.Findings {
		texts = append(texts, &s.Findings[i].What, &s.Findings[i].Remedy)
	}
	for _, text := range texts {
		*text = hide(*text)
	}
}

// MarshalJSON writes lists without elements as [], never as null.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status // without this method
	if s.Owed.Sweeps == nil {
		s.Owed.Sweeps = []Sweep{}
	}
	if s.Paused == nil {
		s.Paused = []Pause{}
	}
	if s.Findings == nil {
		s.Findings = []Finding{}
	}
	if s.Collections == nil {
		s.Collections = []Collection{}
	}
	return json.Marshal(plain(s))
}
