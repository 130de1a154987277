// Package fleet keeps replicas of the server alive: one or more on each GPU, or some on the CPU. It watches containers,
// answers and GPUs, replaces what is broken, exchanges replicas without a lost request, and says through the gateway
// who gets requests.
//
// All decisions are made by one state machine that does nothing itself and knows no clock: it is given what was seen and
// the time, and returns what to do. The Supervisor around it sees and does.
package fleet
