"""The one room with Ray: plain functions on Ray Train, Ray Data and Ray Serve."""
