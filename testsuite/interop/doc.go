// Package interop shows that PyIceberg and Spark read through the same SQLite catalog file what Varve wrote, row for row,
// and that Varve reads what PyIceberg appends; and that Spark shares a catalog in PostgreSQL.
package interop
