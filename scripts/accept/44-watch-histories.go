// Runs the validators of etcd's robustness tests over a history that was recorded from
// kvd, and over copies of it that were broken on purpose.
//
//	watch-histories DIR              validates; exits with 0, or 1 and what is wrong
//	watch-histories -break HOW DIR   breaks the watch history first, and exits with 0 only
//	                                 if a validator says what was expected; with 3 if the
//	                                 history has no place for it
//
// DIR has client-N/operations.json, client-N/watch.json, and persisted.json: one request
// of their model a line, for each revision of the log, in order.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/tests/v3/robustness/model"
	"go.etcd.io/etcd/tests/v3/robustness/report"
	"go.etcd.io/etcd/tests/v3/robustness/validate"
	"go.uber.org/zap"
)

const searchLimit = 2 * time.Minute

// A way to break one watch. It says whether there was a place for it.
type breaker struct {
	wanted string
	change func(*model.WatchOperation) bool
}

var breakers = map[string]breaker{
	"drop":      {"Reliable", drop},
	"first":     {"Resumable", dropFirst},
	"reorder":   {"Ordered", reorder},
	"duplicate": {"Unique", duplicate},
	"split":     {"Atomic", split},
	"early":     {"Bookmarkable", early},
	"late":      {"Reliable", late},
	"value":     {"Reliable", value},
	"previous":  {"prevValue", previous},
	"create":    {"IsCreate", create},
	"filter":    {"filter", filter},
}

func main() {
	how := flag.String("break", "", "how the history is broken first")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: watch-histories [-break HOW] DIR")
		os.Exit(2)
	}
	dir := flag.Arg(0)
	reports, err := report.LoadClientReports(dir)
	if err != nil {
		fail("%v", err)
	}
	persisted, err := loadPersisted(filepath.Join(dir, "persisted.json"))
	if err != nil {
		fail("%v", err)
	}
	if *how == "" {
		whole(reports, persisted)
		return
	}
	broken(*how, reports, persisted)
}

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "watch-histories: "+format+"\n", arguments...)
	os.Exit(1)
}

func loadPersisted(path string) ([]model.EtcdRequest, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var requests []model.EtcdRequest
	for decoder := json.NewDecoder(file); decoder.More(); {
		var request model.EtcdRequest
		if err := decoder.Decode(&request); err != nil {
			return nil, fmt.Errorf("%s: request %d: %w", path, len(requests)+1, err)
		}
		requests = append(requests, request)
	}
	if len(requests) == 0 {
		return nil, fmt.Errorf("%s: no request: the watches would not be looked at", path)
	}
	return requests, nil
}

func run(reports []report.ClientReport, persisted []model.EtcdRequest) validate.RobustnessResult {
	return validate.ValidateAndReturnVisualize(zap.NewNop(), validate.Config{}, reports, persisted, searchLimit)
}

func whole(reports []report.ClientReport, persisted []model.EtcdRequest) {
	result := run(reports, persisted)
	if err := result.Error(); err != nil {
		fail("%v", err)
	}
	// A validator that was skipped says nothing.
	if result.Linearization.Status != validate.Success || result.Watch.Status != validate.Success {
		fail("not all was validated: %+v, watch %+v", result.Linearization.Status, result.Watch)
	}
	watches, events, progress, previous := 0, 0, 0, 0
	for _, client := range reports {
		for _, watch := range client.Watch {
			watches++
			for _, response := range watch.Responses {
				events += len(response.Events)
				if response.IsProgressNotify {
					progress++
				}
				for _, event := range response.Events {
					if event.PrevValue != nil {
						previous++
					}
				}
			}
		}
	}
	operations := 0
	for _, client := range reports {
		operations += len(client.KeyValue)
	}
	fmt.Printf("operations=%d revisions=%d watches=%d events=%d progress=%d previous=%d\n",
		operations, len(persisted), watches, events, progress, previous)
}

func broken(how string, reports []report.ClientReport, persisted []model.EtcdRequest) {
	breaker, known := breakers[how]
	if !known {
		fail("there is no way to break called %q", how)
	}
	if !breakOne(reports, breaker.change) {
		fmt.Fprintf(os.Stderr, "watch-histories: no watch can be broken by %q\n", how)
		os.Exit(3)
	}
	result := run(reports, persisted)
	err := result.Watch.Error()
	if err == nil {
		fail("broken by %q, and no validator of watches noticed: %v", how, result.Error())
	}
	if !strings.Contains(err.Error(), breaker.wanted) {
		fail("broken by %q, %s was wanted, and the validators say: %v", how, breaker.wanted, err)
	}
	guarantee, _, _ := strings.Cut(err.Error(), " - ")
	fmt.Println(guarantee)
}

func breakOne(reports []report.ClientReport, change func(*model.WatchOperation) bool) bool {
	for _, client := range reports {
		for i := range client.Watch {
			if change(&client.Watch[i]) {
				return true
			}
		}
	}
	return false
}

// withEvents gives the places of responses with events, and no other responses between.
func withEvents(watch *model.WatchOperation) []int {
	var places []int
	for i, response := range watch.Responses {
		if len(response.Events) > 0 {
			places = append(places, i)
		}
	}
	return places
}

// An event in the middle is not told.
func drop(watch *model.WatchOperation) bool {
	places := withEvents(watch)
	if len(places) < 3 {
		return false
	}
	middle := places[len(places)/2]
	watch.Responses = slices.Delete(watch.Responses, middle, middle+1)
	return true
}

// A watch that says from where begins one event late.
func dropFirst(watch *model.WatchOperation) bool {
	places := withEvents(watch)
	if len(places) < 3 || watch.Request.Revision == 0 {
		return false
	}
	watch.Responses = slices.Delete(watch.Responses, places[0], places[0]+1)
	return true
}

// Two neighbours change places.
func reorder(watch *model.WatchOperation) bool {
	places := withEvents(watch)
	for i := 1; i < len(places); i++ {
		a, b := places[i-1], places[i]
		if b == a+1 {
			watch.Responses[a], watch.Responses[b] = watch.Responses[b], watch.Responses[a]
			return true
		}
	}
	return false
}

// An event comes twice.
func duplicate(watch *model.WatchOperation) bool {
	places := withEvents(watch)
	if len(places) < 2 {
		return false
	}
	response := &watch.Responses[places[1]]
	response.Events = append(response.Events, response.Events[len(response.Events)-1])
	return true
}

// The events of one revision come in two responses.
func split(watch *model.WatchOperation) bool {
	for i, response := range watch.Responses {
		for j := 1; j < len(response.Events); j++ {
			if response.Events[j-1].Revision != response.Events[j].Revision {
				continue
			}
			first, rest := response, response
			first.Events, rest.Events = response.Events[:j], response.Events[j:]
			watch.Responses = slices.Replace(watch.Responses, i, i+1, first, rest)
			return true
		}
	}
	return false
}

// Progress is told before the event that it vouches for.
func early(watch *model.WatchOperation) bool {
	places := withEvents(watch)
	if len(places) < 2 {
		return false
	}
	at := places[len(places)-1]
	events := watch.Responses[at].Events
	progress := model.WatchResponse{IsProgressNotify: true, Revision: events[0].Revision}
	watch.Responses = slices.Insert(watch.Responses, at, progress)
	return true
}

// The last event never comes, although progress behind it was told.
func late(watch *model.WatchOperation) bool {
	places := withEvents(watch)
	if len(places) < 2 {
		return false
	}
	last := places[len(places)-1]
	rest := watch.Responses[last+1:]
	if !slices.ContainsFunc(rest, func(r model.WatchResponse) bool { return r.IsProgressNotify }) {
		return false
	}
	watch.Responses = slices.Delete(watch.Responses, last, last+1)
	return true
}

// An event has another value than was written.
func value(watch *model.WatchOperation) bool {
	return changeEvent(watch, func(event *model.WatchEvent) bool {
		if event.Type != model.PutOperation {
			return false
		}
		event.Value = model.ToValueOrHash("never")
		return true
	})
}

// The value from before is another one.
func previous(watch *model.WatchOperation) bool {
	return changeEvent(watch, func(event *model.WatchEvent) bool {
		if event.PrevValue == nil {
			return false
		}
		event.PrevValue.Version++
		return true
	})
}

// A key is said to be new, or not to be.
func create(watch *model.WatchOperation) bool {
	return changeEvent(watch, func(event *model.WatchEvent) bool {
		if event.Type != model.PutOperation {
			return false
		}
		event.IsCreate = !event.IsCreate
		return true
	})
}

// An event of a key that was not asked for.
func filter(watch *model.WatchOperation) bool {
	return changeEvent(watch, func(event *model.WatchEvent) bool {
		event.Key = "elsewhere"
		return true
	})
}

// changeEvent changes one that is not the first, so that nothing else is noticed before.
func changeEvent(watch *model.WatchOperation, change func(*model.WatchEvent) bool) bool {
	places := withEvents(watch)
	for _, place := range places[min(1, len(places)):] {
		for i := range watch.Responses[place].Events {
			if change(&watch.Responses[place].Events[i]) {
				return true
			}
		}
	}
	return false
}
