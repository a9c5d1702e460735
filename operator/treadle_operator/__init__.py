"""The operator: a Kubernetes shell around pure policies that place tenants on devices."""
