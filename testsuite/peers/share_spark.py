"""Reads a table through Spark's JDBC catalog in PostgreSQL, and appends rows to it.

usage: share_spark.py PROPERTIES JARS TABLE OUT ROWS

PROPERTIES are those of the catalog, a JSON object. Writes OUT/*.parquet with the rows as they were; then appends ROWS, a
JSON list of rows by column, in which columns may be missing.
"""
import glob
import json
import sys

from pyspark.sql import SparkSession

properties, jars, name, out, rows = sys.argv[1:6]
builder = (
    SparkSession.builder.master("local[2]")
    .appName("varve-shared")
    .config("spark.jars", ",".join(sorted(glob.glob(f"{jars}/*.jar"))))
    .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
    .config("spark.sql.catalog.varve", "org.apache.iceberg.spark.SparkCatalog")
    .config("spark.sql.catalog.varve.type", "jdbc")
    .config("spark.sql.catalog.varve.jdbc.schema-version", "V1")
    .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.memory", "1g")
)
for key, value in json.loads(properties).items():
    builder = builder.config(f"spark.sql.catalog.varve.{key}", value)
spark = builder.getOrCreate()
table = spark.table(f"varve.{name}")
table.coalesce(1).write.mode("overwrite").parquet(out)
appended = [tuple(row.get(f.name) for f in table.schema.fields) for row in json.loads(rows)]
spark.createDataFrame(appended, schema=table.schema).writeTo(f"varve.{name}").append()
spark.stop()
