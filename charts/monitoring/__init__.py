"""Generates what the chart brings for Prometheus and Grafana: recording rules, alerts, dashboards.

`make chart-files` writes it to charts/treadle/files, where a test finds it fresh.
"""
