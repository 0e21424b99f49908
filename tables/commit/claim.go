package commit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// ClaimPrefix, followed by the writer, is the table property by which a writer who keeps losing asks the others to let it
// through. Every writer reads the head anyway, so that looking for claims costs nothing; only who loses writes one.
//
// A claim is advice. Whatever becomes of it, a commit is decided by the pinned head: a claim that is lost, doubled or
// overlooked makes somebody wait, or lose once more, and nothing else. Whoever dies with one holds each of the others no
// longer than it says, by their own clocks, and then the next commit takes it away. Writers who know nothing of claims are
// raced as before.
const ClaimPrefix = "varve.claim."

const (
	// claimAfter is how many conflicts a commit takes before it claims.
	claimAfter = 3
	// maxClaims bounds how often one commit claims: a claim may be lost, or taken away when its time is up.
	maxClaims = 8
	// maxHold bounds how long a claim asks others to wait, and maxGiveWay how long a commit waits for claims in all.
	maxHold    = 2 * time.Minute
	maxGiveWay = 5 * time.Minute
)

// claim is one in a table. Those of several writers are served in their order, first come first.
type claim struct {
	writer, token string
	order         int64
	hold          time.Duration // for which it asks, from when it is the first
}

func (c claim) String() string { return fmt.Sprintf("%d %s %s", c.order, c.hold, c.token) }

// parseClaim reads a property's value; others' nonsense is no claim.
func parseClaim(writer, text string) (c claim, ok bool) {
	fields := strings.SplitN(text, " ", 3)
	if len(fields) != 3 {
		return c, false
	}
	c.writer, c.token = writer, fields[2]
	_, err := fmt.Sscan(fields[0], &c.order)
	hold, holdErr := time.ParseDuration(fields[1])
	c.hold = min(hold, maxHold)
	return c, err == nil && holdErr == nil && c.order > 0 && hold > 0
}

// claimsOf are a table's claims, the first to be served first.
func claimsOf(meta table.Metadata) (out []claim) {
	for key, text := range meta.Properties() {
		if writer, ok := strings.CutPrefix(key, ClaimPrefix); ok {
			if c, ok := parseClaim(writer, text); ok {
				out = append(out, c)
			}
		}
	}
	slices.SortFunc(out, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.writer, b.writer))
	})
	return out
}

// queue is what a call of Commit knows of claims.
type queue struct {
	first   map[claim]time.Time // since when it knows the claim to be the first
	lapsed  []claim             // that it has waited out
	claims  int                 // that it has sent
	open    bool                // one of them may be in the table
	gaveWay time.Duration
}

func (p *protocol) mine(c claim) bool { return c.writer == p.id.Writer && c.token == p.id.Token }

// ahead are the claims that are to be served before this commit. Those of an earlier commit of the same writer are
// nobody's any more.
func (p *protocol) ahead(claims []claim) (out []claim) {
	for _, c := range claims {
		if p.mine(c) {
			break
		}
		if c.writer != p.id.Writer && !slices.Contains(p.queue.lapsed, c) {
			out = append(out, c)
		}
	}
	return out
}

// takeTurn is step 3: who has lost several times claims, and who finds a claim that was there before its own waits until
// the claimant is through, or its time is up. After a claim at most the commits that were under way land before it: so its
// writer gets through by right, and not by chance. again says that the head is to be loaded anew.
func (p *protocol) takeTurn(ctx context.Context, head *table.Table) (again bool, err error) {
	claims := claimsOf(head.Metadata())
	if p.losing() && !slices.ContainsFunc(claims, p.mine) && p.claim(ctx, head, claims) {
		return true, nil
	}
	for {
		ahead := p.ahead(claims)
		if len(ahead) == 0 || p.queue.gaveWay >= maxGiveWay {
			return false, nil
		}
		now := p.opts.Now()
		since, known := p.queue.first[ahead[0]]
		if !known {
			since = now
			p.queue.first[ahead[0]] = now
		}
		left := ahead[0].hold - now.Sub(since)
		if left <= 0 {
			p.queue.lapsed = append(p.queue.lapsed, ahead[0])
			continue
		}
		// The farther from its turn, the less often it looks.
		pause := min(left, ahead[0].hold/32*time.Duration(min(len(ahead), 8)), time.Second)
		err := p.opts.Sleep(ctx, max(pause/2+time.Duration(p.opts.Random()*float64(pause/2)), time.Millisecond))
		p.queue.gaveWay += p.opts.Now().Sub(now)
		return true, err
	}
}

// losing tells whether it is time to claim. What yields never does.
func (p *protocol) losing() bool {
	return !p.opts.Yields && p.out.Conflicts >= claimAfter && p.queue.claims < maxClaims
}

// claim writes a claim, behind those that are there. The head is not pinned: a commit in between takes nothing from it. It
// asks for the time of some more attempts like the last one.
func (p *protocol) claim(ctx context.Context, head *table.Table, others []claim) bool {
	c := claim{writer: p.id.Writer, token: p.id.Token, order: 1, hold: min(time.Second+4*p.took, maxHold).Round(time.Millisecond)}
	for _, o := range others {
		c.order = max(c.order, o.order+1)
	}
	p.queue.claims++
	_, _, err := p.cat.CommitTable(ctx, p.ident, []table.Requirement{table.AssertTableUUID(head.Metadata().TableUUID())},
		[]table.Update{table.NewSetPropertiesUpdate(iceberg.Properties{ClaimPrefix + c.writer: c.String()})})
	p.queue.open = p.queue.open || err == nil || errors.Is(err, ErrUnknownOutcome)
	if err == nil {
		p.out.Claims++
	}
	return err == nil
}

// spentClaims are the properties that go with the commit: the writer's own claim, and those that were waited out.
func (p *protocol) spentClaims(head table.Metadata) (keys []string) {
	if _, ok := head.Properties()[ClaimPrefix+p.id.Writer]; ok {
		keys = append(keys, ClaimPrefix+p.id.Writer)
	}
	for _, c := range claimsOf(head) {
		if slices.Contains(p.queue.lapsed, c) {
			keys = append(keys, ClaimPrefix+c.writer)
		}
	}
	return keys
}

// withdraw takes back the claim of a commit that ends without having taken it away, rather than let others wait it out.
func (p *protocol) withdraw(ctx context.Context) {
	if !p.queue.open || ctx.Err() != nil {
		return
	}
	head, err := p.cat.LoadTable(ctx, p.ident)
	if err != nil || !slices.ContainsFunc(claimsOf(head.Metadata()), p.mine) {
		return
	}
	_, _, _ = p.cat.CommitTable(ctx, p.ident, []table.Requirement{table.AssertTableUUID(head.Metadata().TableUUID())},
		[]table.Update{table.NewRemovePropertiesUpdate([]string{ClaimPrefix + p.id.Writer})})
}
