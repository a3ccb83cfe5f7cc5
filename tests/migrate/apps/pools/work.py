"""What the routes have done elsewhere."""


def write_line(line):
    with open("lines.txt", "a") as file:
        file.write(line + "\n")


def resize(name, width):
    write_line(f"{name} {width}")


def count_primes(limit, name):
    found = sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, limit + 1))
    write_line(f"{name} {found}")
