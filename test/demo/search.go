package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// question shares words with what it looks for: the demo's embeddings know words, and not what they mean.
const question = "Who repairs a broken toaster, lamps and radios?"

// playSearch asks the index as a website would: the question becomes a vector, and the nearest chunks are the answer.
func (s *Stage) playSearch(ctx context.Context) error {
	ctx, cancel := within(ctx, 30*time.Second)
	defer cancel()
	s.out.Title("Asking the index, as your site would: " + question)
	s.out.Text(s.out.paint(faint, "    0.50 is unrelated. The demo's embeddings compare words; a real model compares meanings."))
	var embedded struct {
		Data []struct {
			Embedding []float32 `json:"embedding"`
		} `json:"data"`
	}
	err := s.ask(ctx, "/v1/embeddings", map[string]any{
		"model": "text-embedding-3-small", "dimensions": 1024, "input": question,
	}, &embedded)
	if err != nil {
		return fmt.Errorf("embed the question: %w", err)
	}
	if len(embedded.Data) != 1 {
		return fmt.Errorf("embed the question: %d embeddings of one text", len(embedded.Data))
	}
	var found struct {
		Result []struct {
			ID       string          `json:"id"`
			Score    float64         `json:"score"`
			Metadata json.RawMessage `json:"metadata"`
			Data     string          `json:"data"`
		} `json:"result"`
	}
	err = s.ask(ctx, "/query", map[string]any{
		"vector": embedded.Data[0].Embedding, "topK": 3, "includeMetadata": true, "includeData": true,
	}, &found)
	if err != nil {
		return fmt.Errorf("query the index: %w", err)
	}
	if len(found.Result) == 0 {
		return errors.New("query the index: it found nothing")
	}
	for _, r := range found.Result {
		s.out.Text(fmt.Sprintf("    %.2f  %s%s", r.Score, pad(r.ID, 14), metadataOf(r.Metadata).Title))
		s.out.Text(s.out.paint(faint, strings.Repeat(" ", 10)+cut(strings.Join(strings.Fields(r.Data), " "), 84)))
	}
	return nil
}

// ask posts JSON to a provider.
func (s *Stage) ask(ctx context.Context, path string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.providers+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	return json.Unmarshal(body, answer)
}
