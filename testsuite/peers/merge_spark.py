"""Runs MERGE statements on tables of a Varve lake, and reads tables, through Spark's JDBC catalog on the same SQLite file.

usage: merge_spark.py CATALOG_DB WAREHOUSE CASES.json OUT JARS

CASES is a list of {"sql": a statement, or "" for none, "read": a table}. Writes OUT/<table>/*.parquet with the rows of each table that is
read, and OUT/results.json: for each case, "" or the error that its statement ended with.
"""
import glob
import json
import sys

from pyspark.sql import SparkSession

db, warehouse, cases, out, jars = sys.argv[1:6]
spark = (
    SparkSession.builder.master("local[2]")
    .appName("varve-differential")
    .config("spark.jars", ",".join(sorted(glob.glob(f"{jars}/*.jar"))))
    .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
    .config("spark.sql.catalog.varve", "org.apache.iceberg.spark.SparkCatalog")
    .config("spark.sql.catalog.varve.type", "jdbc")
    .config("spark.sql.catalog.varve.uri", f"jdbc:sqlite:{db}")
    .config("spark.sql.catalog.varve.jdbc.schema-version", "V1")
    .config("spark.sql.catalog.varve.warehouse", warehouse)
    .config("spark.sql.catalog.varve.cache-enabled", "false")
    .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.shuffle.partitions", "2")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.memory", "2g")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("OFF")
results = []
for case in json.load(open(cases)):
    error = ""
    try:
        if case["sql"]:
            spark.sql(case["sql"])
    except Exception as e:  # every way in which Spark says no
        error = f"{type(e).__name__}: {e}"[:2000]
    results.append(error)
    spark.table(f"varve.{case['read']}").coalesce(1).write.mode("overwrite").parquet(f"{out}/{case['read']}")
json.dump(results, open(f"{out}/results.json", "w"), indent=1)
spark.stop()
