package sql

/*
#include <stdint.h>
#include <stdlib.h>

void varveScanBind(void *);
void varveScanInit(void *);
void varveScanFill(void *, void *);
void varveScanFree(void *);
*/
import "C"

import (
	"fmt"
	"runtime/cgo"
	"unsafe"

	duckdb "github.com/duckdb/duckdb-go-bindings"
)

// This file is the table function through which DuckDB reads an Input: varve_scan(handle).
//
// It declares all columns of the table and learns from DuckDB which of them the plan needs, so that only those are
// asked of the Input. An error of the Input ends the query with an error.

const scanFunction = "varve_scan"

// registerScan adds the table function to an engine.
func registerScan(conn *connection) error {
	f := duckdb.CreateTableFunction()
	defer duckdb.DestroyTableFunction(&f)
	duckdb.TableFunctionSetName(f, scanFunction)
	handle := duckdb.CreateLogicalType(duckdb.TypeBigInt)
	duckdb.TableFunctionAddParameter(f, handle)
	duckdb.DestroyLogicalType(&handle)
	duckdb.TableFunctionSupportsProjectionPushdown(f, true)
	duckdb.TableFunctionSetBind(f, unsafe.Pointer(C.varveScanBind))
	duckdb.TableFunctionSetInit(f, unsafe.Pointer(C.varveScanInit))
	duckdb.TableFunctionSetFunction(f, unsafe.Pointer(C.varveScanFill))
	if duckdb.RegisterTableFunction(conn.raw, f) == duckdb.StateError {
		return fmt.Errorf("sql engine: register %s", scanFunction)
	}
	return nil
}

// pin keeps a Go value alive behind a C pointer, until DuckDB calls varveScanFree with it.
func pin(value any) unsafe.Pointer {
	p := C.malloc(C.size_t(unsafe.Sizeof(C.uintptr_t(0))))
	*(*C.uintptr_t)(p) = C.uintptr_t(cgo.NewHandle(value))
	return p
}

func pinned(p unsafe.Pointer) any { return cgo.Handle(*(*C.uintptr_t)(p)).Value() }

//export varveScanFree
func varveScanFree(p unsafe.Pointer) {
	if s, ok := pinned(p).(*scan); ok {
		s.close() // a limit may have ended it early
	}
	cgo.Handle(*(*C.uintptr_t)(p)).Delete()
	C.free(p)
}

// guarded turns a panic into an error: one that reached C would end the process.
func guarded(fail func(string), body func() error) {
	defer func() {
		if r := recover(); r != nil {
			fail(fmt.Sprintf("panic: %v", r))
		}
	}()
	if err := body(); err != nil {
		fail(err.Error())
	}
}

//export varveScanBind
func varveScanBind(p unsafe.Pointer) {
	info := duckdb.BindInfo{Ptr: p}
	guarded(func(message string) { duckdb.BindSetError(info, message) }, func() error {
		value := duckdb.BindGetParameter(info, 0)
		id := duckdb.GetInt64(value)
		duckdb.DestroyValue(&value)
		rel, ok := relations.Load(id)
		if !ok {
			return fmt.Errorf("no relation %d", id)
		}
		r := rel.(*relation)
		for _, c := range r.order {
			duckdb.BindAddResultColumn(info, r.columnName(c), r.types[c])
		}
		if r.rows >= 0 {
			duckdb.BindSetCardinality(info, duckdb.IdxT(r.rows), true)
		}
		duckdb.BindSetBindData(info, pin(r), unsafe.Pointer(C.varveScanFree))
		return nil
	})
}

//export varveScanInit
func varveScanInit(p unsafe.Pointer) {
	info := duckdb.InitInfo{Ptr: p}
	guarded(func(message string) { duckdb.InitSetError(info, message) }, func() error {
		r := pinned(duckdb.InitGetBindData(info)).(*relation)
		columns := make([]int, duckdb.InitGetColumnCount(info))
		for i := range columns {
			columns[i] = -1 // a row id, which nobody looks at
			if c := duckdb.InitGetColumnIndex(info, duckdb.IdxT(i)); c < duckdb.IdxT(len(r.order)) {
				columns[i] = r.order[c]
			}
		}
		duckdb.InitSetInitData(info, pin(&scan{relation: r, columns: columns}), unsafe.Pointer(C.varveScanFree))
		// One thread a scan keeps the rows in their order, and with it sums of doubles the same in every run.
		duckdb.InitSetMaxThreads(info, 1)
		return nil
	})
}

//export varveScanFill
func varveScanFill(p, out unsafe.Pointer) {
	info, chunk := duckdb.FunctionInfo{Ptr: p}, duckdb.DataChunk{Ptr: out}
	s := pinned(duckdb.FunctionGetInitData(info)).(*scan)
	guarded(func(message string) {
		s.close()
		duckdb.FunctionSetError(info, message)
	}, func() error {
		n, err := s.fill(chunk)
		duckdb.DataChunkSetSize(chunk, duckdb.IdxT(n))
		return err
	})
}
