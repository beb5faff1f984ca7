"""The attacks that are refused, one test each; ``checks`` names the line of code that each test guards."""
