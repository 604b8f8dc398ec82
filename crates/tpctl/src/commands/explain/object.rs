//! stub
use crate::commands::Context;
use anyhow::Result;
use tuplenet_model::name::Name;
pub async fn explain(_context: &Context, _key: &[String], _chassis: Option<&Name>, _summary: bool) -> Result<()> {
    Ok(())
}
