// Package expression compiles expressions in expr's syntax (github.com/expr-lang/expr) to vectorised kernels over Arrow
// arrays. expr's parser reads the text; the types are checked here, against Arrow schemas, and every mistake is an
// *Error with its byte offset; the evaluation is of a batch at a time.
//
// # Types
//
// The types are Iceberg's. Columns in other encodings of Arrow (dictionaries, views, 8 bits, other time zones) are
// brought to them as they are loaded. The literal 1 is an int, 5000000000 a long, 1.5 a double; beside a decimal a
// literal is exactly the decimal that it reads as, and beside a date, time, timestamp, uuid or duration a text literal is
// read as one. A duration is the difference of two timestamps and cannot be stored.
//
// int op int is an int and long op long a long, as in SQL; / and ** of integers are doubles, as in expr. Decimals follow
// the rules of Spark and SQL Server for precision and scale, and round half up. int beside float is double, since a
// float cannot hold every int. Casts are named by their types, so int(x) is a 32-bit integer and float(x) a 32-bit
// float, unlike expr's.
//
// # Nulls
//
// Nulls follow SQL: x == nil (or null) tests for null; every other comparison with a null is unknown; and, or and not
// are Kleene's; in is unknown if nothing matches and a value is null; a condition that is unknown takes the else branch;
// functions of a null are null unless their documentation says otherwise. min, max, sum, join and their kin leave nulls
// out. NaN equals NaN and is above every number, as in Spark, DuckDB and PostgreSQL.
//
// # Faults
//
// A value that cannot be computed is a Fault of its row, never a wrong value: integer and decimal overflow, division by
// zero of any type, text that is no number, a date that the calendar has not. Floating-point overflow is IEEE's
// infinity. What is outside a list, a map or a text's bounds is null. A fault counts only where its value is needed: not
// in the branch that a condition does not take, behind a left side of and or or that decides, or behind the value that
// ?? takes. try(x) turns faults into nulls.
//
// # How it runs
//
// A node of the compiled tree takes whole columns, or single values that stand for every row, and makes a column.
// Predicates over lists (any, filter, map...) are computed over the elements of all rows' lists at once. The few
// functions of expr that have no kernel here (reduce, groupBy, bitand...) run on expr's VM row by row, which
// Program.Explain lists; within them expr's own rules hold. now() is one instant for all rows: that of WithNow, or else
// that of the compilation.
package expression
