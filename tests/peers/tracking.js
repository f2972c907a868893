'use strict';
// keen-tracking in node, called as its README shows. stdin: {"scenario": ..., "config": ..., ...} as JSON;
// the last line of stdout, written when nothing is left to do: what came of each call, as JSON.

const fs = require('fs');
const KeenTracking = require('keen-tracking');

const given = JSON.parse(fs.readFileSync(0, 'utf8'));
const client = new KeenTracking(given.config);
const outcomes = [];

const settled = (promise) =>
  promise.then(
    (value) => ({ resolved: value === undefined ? 'undefined' : value }),
    (error) => ({ rejected: error.code || String(error) }),
  );

// What a callback in node's style was given.
const called = (call) =>
  new Promise((resolve) => {
    const promise = call((error, result) => resolve({ error: error && (error.code || String(error)), result }));
    promise.catch(() => {});
  });

const scenarios = {
  // Each event by a call of its own, one after the other.
  async recordEvent() {
    for (const [collection, event] of given.events) {
      outcomes.push(await settled(client.recordEvent(collection, event)));
    }
  },

  // The three ways to write one event: arguments, a callback, one object.
  async recordEventForms() {
    const [collection, event] = given.events[0];
    outcomes.push(await settled(client.recordEvent(collection, event)));
    outcomes.push(await called((callback) => client.recordEvent(collection, event, callback)));
    outcomes.push(await called((callback) => client.recordEvent({ collection, event, callback })));
  },

  async recordEvents() {
    outcomes.push(await settled(client.recordEvents(given.batch)));
    outcomes.push(await called((callback) => client.recordEvents(given.batch, callback)));
  },

  // One by one and in one go; the program flushes.
  async deferAndFlush() {
    for (const [collection, event] of given.events) {
      client.deferEvent(collection, event);
    }
    client.deferEvents(given.batch);
    outcomes.push({ queued: client.queue.capacity });
    client.recordDeferredEvents();
    outcomes.push({ queued: client.queue.capacity });
  },

  // Nobody flushes: the queue does so when it is full, or when its time has come.
  async deferUntilFlushed() {
    client.queueCapacity(given.capacity);
    client.queueInterval(given.interval);
    client.on('recordDeferredEvents', (hash) => {
      outcomes.push({ flushed: Object.values(hash).reduce((sum, events) => sum + events.length, 0) });
    });
    for (const [collection, event] of given.events) {
      client.deferEvent(collection, event);
    }
  },

  // A constant and a function for every event, a constant for one collection.
  async extend() {
    let number = 0;
    client.extendEvents({ app: { name: 'shop', version: 3 } });
    client.extendEvents(() => ({ number: (number += 1) }));
    client.extendEvent(given.extended, { channel: 'web', app: { version: 4 } });
    for (const [collection, event] of given.events) {
      outcomes.push(await settled(client.recordEvent(collection, event)));
    }
    outcomes.push(await settled(client.recordEvents(given.batch)));
  },

  async unique() {
    for (const [collection, event] of given.events) {
      outcomes.push(await settled(client.recordEvent({ collection, event, unique: true })));
    }
  },

  async disabled() {
    client.on('error', (error) => outcomes.push({ error }));
    KeenTracking.enabled = false;
    const [collection, event] = given.events[0];
    outcomes.push({ returned: client.recordEvent(collection, event) });
  },
};

process.once('beforeExit', () => process.stdout.write(`\n${JSON.stringify(outcomes)}\n`));
scenarios[given.scenario]();
