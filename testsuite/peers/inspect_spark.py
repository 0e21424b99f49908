"""Tells what Spark's metadata tables say of tables of a Varve lake.

usage: inspect_spark.py CATALOG_DB WAREHOUSE JARS TABLES OUT

TABLES are names, with commas between. Writes OUT/inspected.json: for each table the rows of its metadata tables files, delete_files,
manifests and partitions, and the numbers of its snapshots, references and metadata files.
"""
import glob
import json
import sys

from pyspark.sql import SparkSession

db, warehouse, jars, names, out = sys.argv[1:6]
spark = (
    SparkSession.builder.master("local[2]")
    .appName("varve-inspect")
    .config("spark.jars", ",".join(sorted(glob.glob(f"{jars}/*.jar"))))
    .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
    .config("spark.sql.catalog.varve", "org.apache.iceberg.spark.SparkCatalog")
    .config("spark.sql.catalog.varve.type", "jdbc")
    .config("spark.sql.catalog.varve.uri", f"jdbc:sqlite:{db}")
    .config("spark.sql.catalog.varve.jdbc.schema-version", "V1")
    .config("spark.sql.catalog.varve.warehouse", warehouse)
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.shuffle.partitions", "2")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.memory", "1g")
    .getOrCreate()
)


def path(partition):
    return "/".join(f"{field}={value}" for field, value in partition.asDict().items())


def rows(name, table, columns):
    return [r.asDict() | {"partition": path(r["partition"])} for r in spark.sql(f"SELECT partition, {columns} FROM varve.{name}.{table}").collect()]


def count(name, table):
    return spark.sql(f"SELECT * FROM varve.{name}.{table}").count()


found = {}
for name in names.split(","):
    found[name] = {
        "files": rows(name, "files", "content, file_size_in_bytes AS bytes, record_count AS rows"),
        "delete_files": rows(name, "delete_files", "content, file_size_in_bytes AS bytes, record_count AS rows"),
        "partitions": rows(name, "partitions", "file_count AS files, record_count AS rows, total_data_file_size_in_bytes AS bytes, "
                           "position_delete_record_count AS deleted_rows"),
        "manifests": [r["length"] for r in spark.sql(f"SELECT length FROM varve.{name}.manifests").collect()],
        "snapshots": count(name, "snapshots"),
        "refs": count(name, "refs"),
        "metadata_files": count(name, "metadata_log_entries"),
    }
json.dump(found, open(f"{out}/inspected.json", "w"), indent=1)
spark.stop()
