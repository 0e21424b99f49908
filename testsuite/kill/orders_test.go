package kill

import (
	"fmt"
	"slices"
	"strings"
)

// The orders are two deliveries, each of which a run takes in. What the tables must hold after each follows from the
// deliveries alone, by a few loops that share nothing with Varve.

// tablesOfOrders are the tables that testdata/orders.yaml makes, and the columns of theirs that are looked at.
var tablesOfOrders = map[string][]string{
	"bronze.orders":             {"id", "shop", "n", "version"},
	"silver.orders":             {"id", "shop", "n", "version"},
	"silver.orders__quarantine": {"_key"},
	"gold.shops":                {"shop", "orders", "n"},
}

type order struct {
	id      int
	shop    string
	n       int
	version int
}

// deliveries are: forty orders of four shops, one of them in two versions and one below zero; then changes of some, the
// deletion of two, some that are new, one that is older than what is there, and another below zero.
func deliveries() [][]order {
	shop := func(id int) string { return fmt.Sprintf("s-%d", id%4) }
	var first, second []order
	for id := 1; id <= 40; id++ {
		first = append(first, order{id, shop(id), id * 10, 1})
	}
	first = append(first, order{5, shop(5), 555, 2}, order{100, shop(100), -1, 1})
	for id := 1; id <= 8; id++ {
		second = append(second, order{id, shop(id), id * 1000, 3})
	}
	second = append(second, order{9, shop(9), 0, 3}, order{10, shop(10), 0, 3}, order{11, shop(11), 77, 0}, order{101, shop(101), -5, 1})
	for id := 41; id <= 46; id++ {
		second = append(second, order{id, shop(id), id, 3})
	}
	return [][]order{first, second}
}

func csv(orders []order) []byte {
	var b strings.Builder
	b.WriteString("id,shop,n,version\n")
	for _, o := range orders {
		fmt.Fprintf(&b, "%d,%s,%d,%d\n", o.id, o.shop, o.n, o.version)
	}
	return []byte(b.String())
}

// expected are the sorted rows of each table after so many deliveries, a row's values joined by bars. Of the quarantine
// there are as many rows, whose keys only Varve knows.
func expected(delivered int) map[string][]string {
	out := map[string][]string{}
	present := map[int]order{}
	for _, delivery := range deliveries()[:delivered] {
		newest := map[int]order{}
		for _, o := range delivery {
			out["bronze.orders"] = append(out["bronze.orders"], fmt.Sprintf("%d|%s|%d|%d", o.id, o.shop, o.n, o.version))
			if o.n < 0 {
				out["silver.orders__quarantine"] = append(out["silver.orders__quarantine"], "")
			} else if o.version > newest[o.id].version || newest[o.id].id == 0 {
				newest[o.id] = o
			}
		}
		for id, o := range newest {
			before, matched := present[id]
			switch {
			case matched && o.n == 0:
				delete(present, id)
			case !matched || before.version < o.version:
				present[id] = o
			}
		}
	}
	count, sum := map[string]int{}, map[string]int{}
	for _, o := range present {
		out["silver.orders"] = append(out["silver.orders"], fmt.Sprintf("%d|%s|%d|%d", o.id, o.shop, o.n, o.version))
		count[o.shop]++
		sum[o.shop] += o.n
	}
	for shop := range count {
		out["gold.shops"] = append(out["gold.shops"], fmt.Sprintf("%s|%d|%d", shop, count[shop], sum[shop]))
	}
	for _, rows := range out {
		slices.Sort(rows)
	}
	return out
}
