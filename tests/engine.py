"""How tests run Spark."""

# Compiling a query costs more than running it on a handful of rows.
QUICK_CONF = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    # Of the streams' state; the first query of a JVM sets it for all.
    "spark.sql.streaming.stateStore.maintenanceInterval": "1s",
}
