"""Monte Carlo over chips: many deployments on simulated chips, on one core, several, or a cluster."""
