//! Replicas of the simulator's lists over real orders, under every kind of
//! fault: what clients see can have happened one after the other.

mod swarm;
