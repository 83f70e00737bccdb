// What an action says, on the overview and on a customer's page.

import { span } from "./format.js";

export const ARMS = { treatment: "sent", holdout: "held out", customer_managed: "shop’s own" };

export const bought = (action) => (action.bought_at ? `after ${span(action.bought_at - action.decided_at)}` : "not yet");
