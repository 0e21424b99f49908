"""Reads every table of a Varve lake through Spark's JDBC catalog on the same SQLite file.

usage: read_spark.py CATALOG_DB WAREHOUSE OUT JARS

Writes OUT/<table>/*.parquet with the rows and OUT/schemas.json with what Spark says of types and partitions.
"""
import glob
import json
import sys

from pyspark.sql import SparkSession

db, warehouse, out, jars = sys.argv[1:5]
spark = (
    SparkSession.builder.master("local[2]")
    .appName("varve-interop")
    .config("spark.jars", ",".join(sorted(glob.glob(f"{jars}/*.jar"))))
    .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
    .config("spark.sql.catalog.varve", "org.apache.iceberg.spark.SparkCatalog")
    .config("spark.sql.catalog.varve.type", "jdbc")
    .config("spark.sql.catalog.varve.uri", f"jdbc:sqlite:{db}")
    .config("spark.sql.catalog.varve.jdbc.schema-version", "V1")
    .config("spark.sql.catalog.varve.warehouse", warehouse)
    .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.memory", "2g")
    .getOrCreate()
)
found = {}
for namespace in [r[0] for r in spark.sql("SHOW NAMESPACES IN varve").collect()]:
    for row in spark.sql(f"SHOW TABLES IN varve.{namespace}").collect():
        name = f"{namespace}.{row['tableName']}"
        table = spark.table(f"varve.{name}")
        table.coalesce(1).write.mode("overwrite").parquet(f"{out}/{name}")
        found[name] = {
            "columns": {f.name: f.dataType.simpleString() for f in table.schema.fields},
            "partitions": spark.sql(f"SELECT * FROM varve.{name}.partitions").count(),
            "snapshots": spark.sql(f"SELECT * FROM varve.{name}.snapshots").count(),
        }
json.dump(found, open(f"{out}/schemas.json", "w"), indent=1, sort_keys=True)
spark.stop()
