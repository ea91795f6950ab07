// The official client, with what tests want to know of it.

import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';

/** A client of the server, or proxy, that is disconnected with the test `t`. */
export function client(t, server, options) {
  const centrifuge = new Centrifuge(`ws://${server.host}:${server.port}/ws${options.query ?? ''}`, {
    websocket: WebSocket,
    minReconnectDelay: 5,
    maxReconnectDelay: 50,
    ...options,
  });
  t.after(() => centrifuge.disconnect());
  return centrifuge;
}

/** Connects, and gives the context of the event. */
export async function connected(centrifuge) {
  const event = next(centrifuge, 'connected');
  centrifuge.connect();
  return event;
}

/** Subscribes, and gives the subscription with the contexts of its publications from now on. */
export async function subscribed(centrifuge, channel, options = {}) {
  const subscription = centrifuge.newSubscription(channel, { minResubscribeDelay: 5, maxResubscribeDelay: 50, ...options });
  const publications = collect(subscription, 'publication');
  const event = next(subscription, 'subscribed');
  subscription.subscribe();
  return { subscription, publications, context: await event };
}

/** The context of the emitter's next event of this name. */
export function next(emitter, name, milliseconds = 20_000) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${name}: not within ${milliseconds} ms`)), milliseconds);
    emitter.once(name, (context) => {
      clearTimeout(timer);
      resolve(context);
    });
  });
}

/** An array that the contexts of the emitter's events of this name are added to. */
export function collect(emitter, name) {
  const contexts = [];
  emitter.on(name, (context) => contexts.push(context));
  return contexts;
}

/** Looks again and again until `look` gives something true. */
export async function until(what, look, milliseconds = 20_000) {
  const deadline = Date.now() + milliseconds;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${milliseconds} ms`);
    await pause(10);
  }
}

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
