// Gives the stock client to a test, which asks in the page what it wants to know.

import { createClient } from 'rivetkit/client';

globalThis.createClient = createClient;

/** How a call ended, in a form that can leave the page. */
globalThis.outcome = async (call) => {
  try {
    return { value: await call };
  } catch (error) {
    return { name: error.group ? `${error.group}.${error.code}` : error.name, message: error.message };
  }
};
