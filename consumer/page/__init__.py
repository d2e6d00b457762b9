"""The page: figures in a browser, filtered, down to the requests behind them. No JVM."""
