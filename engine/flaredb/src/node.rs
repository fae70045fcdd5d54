//! A running node: the engine with the key-value state machine and the Redis door in it.

use std::sync::Arc;

use engine::{Engine, NodeView, StartError};

use crate::config::Config;
use crate::connection::Connection;
use crate::server::Server;

/// A running node. Dropping it shuts it down.
#[derive(Debug)]
pub struct Node {
    engine: Engine,
    server: Arc<Server>,
}

impl Node {
    /// Starts a node; returns when its shards run.
    ///
    /// # Errors
    /// [`StartError`], one sentence. Nothing runs then.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let server = Server::new(config.settings());
        let cluster_id = config.cluster_id();
        let (machines, connections) = (Arc::clone(&server), Arc::clone(&server));
        let engine = Engine::builder(config.engine())
            .state_machine(move |group| Box::new(machines.state_machine(group, cluster_id)))
            .protocol(move |info| Box::new(Connection::new(info, Arc::clone(&connections))))
            .start()?;
        Ok(Self { engine, server })
    }

    /// What the node knows of itself, the cluster and the leaders.
    #[must_use]
    pub fn view(&self) -> Arc<NodeView> {
        self.engine.view()
    }

    /// What the connections of the node share.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Whether all shards still run.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.engine.is_running()
    }

    /// Ends the node: what is under way is finished or answered. Blocks until done.
    pub fn shutdown(self) {
        self.engine.shutdown();
    }
}
